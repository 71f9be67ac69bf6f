"""Runs as files that other tools read: Every Eval Ever, model cards, lm-eval's own results."""
