"""Paired tests, intervals, sequential tests, multiplicity and power over rows of numbers."""

from steelyard.harness.stats.intervals import ScoreInterval, percentile_interval, score_interval
from steelyard.harness.stats.multiplicity import SliceResult, benjamini_hochberg, holm, slice_tests
from steelyard.harness.stats.paired import PairedResult, Verdict, paired_test
from steelyard.harness.stats.power import (
    discordance_of,
    items_needed,
    minimum_detectable_effect,
    power_to_fail,
    power_to_pass,
)
from steelyard.harness.stats.sequential import (
    SequentialResult,
    SequentialTest,
    clip_differences,
    sequential_test,
)

__all__ = [
    "PairedResult",
    "ScoreInterval",
    "SequentialResult",
    "SequentialTest",
    "SliceResult",
    "Verdict",
    "benjamini_hochberg",
    "clip_differences",
    "discordance_of",
    "holm",
    "items_needed",
    "minimum_detectable_effect",
    "paired_test",
    "percentile_interval",
    "power_to_fail",
    "power_to_pass",
    "score_interval",
    "sequential_test",
    "slice_tests",
]
