"""Tries a connection as a copy would use it, check by check."""
