"""What a running copyjob service does, on one machine or on Azure: jobs kept, runs started."""
