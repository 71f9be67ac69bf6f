"""Texts continued token by token, with shared prefixes and side by side."""
