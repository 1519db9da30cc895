"""What drives the control flow: threads on one machine, or Durable Functions."""
