"""What a job remembers between runs: watermarks, pending windows, leases, run records."""
