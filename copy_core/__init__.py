"""copyjob: copy tables and files between databases, lakes and object stores, and prove it."""

__version__ = "0.1.0"
