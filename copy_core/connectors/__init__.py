"""Connectors: one module or package a system; `registry` finds them by name."""
