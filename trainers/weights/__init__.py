"""What is done to weights without a training loop."""
