"""Recall of scene graphs by the protocols of the field, on arrays; by name: evaluation.py."""
