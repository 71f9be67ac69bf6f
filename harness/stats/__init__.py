"""Paired tests, intervals, sequential tests, multiplicity and power over rows of numbers."""

from harness.stats.intervals import ScoreInterval, percentile_interval, score_interval
from harness.stats.multiplicity import SliceResult, benjamini_hochberg, holm, slice_tests
from harness.stats.paired import PairedResult, Verdict, paired_test
from harness.stats.power import (
    discordance_of,
    items_needed,
    minimum_detectable_effect,
    power_to_fail,
    power_to_pass,
)
from harness.stats.sequential import (
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
