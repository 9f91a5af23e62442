"""What main.py runs, and the only package that knows of several processes."""
