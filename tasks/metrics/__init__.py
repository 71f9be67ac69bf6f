"""Metrics: a sample becomes a row of numbers, and rows become a value.

Each is a plugin found by name (``harness.plugins``, group ``metrics``, or the entry-point group
``assay.metrics``). A metric whose value lm-eval also prints aggregates its rows to that value.
"""
