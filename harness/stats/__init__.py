"""Paired tests, intervals, sequential tests, multiplicity and power over rows of numbers."""

from steelyard.harness.stats.calibration import CALIBRATION_METHODS, calibration_error
from steelyard.harness.stats.combined import combined_interval, combined_shares
from steelyard.harness.stats.crossed import CrossedEffect, crossed_effect
from steelyard.harness.stats.intervals import ScoreInterval, percentile_interval, score_interval
from steelyard.harness.stats.multiplicity import SliceResult, benjamini_hochberg, holm, slice_tests
from steelyard.harness.stats.paired import POWER, PairedResult, Verdict, paired_test
from steelyard.harness.stats.power import (
    discordance_of,
    items_needed,
    minimum_detectable_effect,
    power_to_fail,
    power_to_pass,
)
from steelyard.harness.stats.proportions import share_interval
from steelyard.harness.stats.rows import check_rows
from steelyard.harness.stats.scores import summed_score
from steelyard.harness.stats.sequential import (
    SequentialResult,
    SequentialTest,
    clip_differences,
    sequential_test,
)
from steelyard.harness.stats.spending import spent

__all__ = [
    "CALIBRATION_METHODS",
    "POWER",
    "CrossedEffect",
    "PairedResult",
    "ScoreInterval",
    "SequentialResult",
    "SequentialTest",
    "SliceResult",
    "Verdict",
    "benjamini_hochberg",
    "calibration_error",
    "check_rows",
    "clip_differences",
    "combined_interval",
    "combined_shares",
    "crossed_effect",
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
    "share_interval",
    "slice_tests",
    "spent",
    "summed_score",
]
