"""Metrics: a sample becomes a row of numbers, and rows become a value.

Each is a plugin found by name (``steelyard.harness.plugins.built_in``, group ``metrics``, or the
entry-point group ``steelyard.metrics``). A metric whose value lm-eval also prints aggregates its
rows to that value.
"""
