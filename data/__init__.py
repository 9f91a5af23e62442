"""Data set readers, the split files they are turned into, and the sample generator."""
