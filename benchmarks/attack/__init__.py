"""Attacks through the command line: wrong numbers, foreign code, losses, leaks, limits."""
