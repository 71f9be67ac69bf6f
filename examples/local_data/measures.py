"""What one document measured (``process_results``) in the tasks beside this module."""

from collections.abc import Sequence
from typing import Any

from steelyard.tasks.metrics.summarisation import rouge

Doc = dict[str, Any]


def summary(doc: Doc, results: Sequence[str]) -> dict[str, float]:
    """ROUGE F-measures of the first paragraph, averaged over the references."""
    return rouge(doc["summaries"], results[0].strip().split("\n\n")[0])
