"""Benchmarks: our rate over the raw library loop, measured in the same script on the same data."""
