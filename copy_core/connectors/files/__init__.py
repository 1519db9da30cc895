"""Folders and object stores of files that hold rows."""
