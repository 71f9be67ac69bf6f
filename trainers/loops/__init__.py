"""What the methods with a training loop share."""
