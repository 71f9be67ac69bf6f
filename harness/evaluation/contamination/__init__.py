"""Which items of a task stand in the training data."""
