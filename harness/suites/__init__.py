"""What is asked: suite files, lm-eval tasks built once, their identity and metadata."""
