"""Other tools' results as ordinary runs, clearly marked as imported.

    lm_eval          lm-eval's results_*.json with samples_*.jsonl, and its old format
    items            CSV or JSONL with a score for each item
    pairs            which of two answers won, prompt by prompt
    every_eval_ever  Every Eval Ever records
    codecarbon       emissions.csv

A file with a row for each sample can be compared and gated like a run that was made here; one
with bare numbers can be shown.
"""

from steelyard.harness.imports.imported import Imported, store_imported

__all__ = ["Imported", "store_imported"]
