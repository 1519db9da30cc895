"""Every source copied to every destination in every mode, for real, and compared."""
