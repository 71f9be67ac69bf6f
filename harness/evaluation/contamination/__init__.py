"""Which items of a task stand in the training data."""

from steelyard.harness.evaluation.contamination.containment import ItemIndex
from steelyard.harness.evaluation.contamination.marks import marked
from steelyard.harness.evaluation.contamination.overlaps import Overlaps, overlaps

__all__ = [
    "ItemIndex",
    "Overlaps",
    "marked",
    "overlaps",
]
