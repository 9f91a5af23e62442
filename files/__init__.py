"""The files that commands hand to each other, one module a format."""
