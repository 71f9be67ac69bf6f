"""Comparison: any number of scored runs against one baseline, paired sample by sample."""

from harness.compare.comparing import compare
from harness.compare.deltas import MetricPair, Settings, TaskPair, pair_task
from harness.compare.noise import NoiseFloor, noise_floors
from harness.compare.problems import Problem
from harness.compare.scored import RunSource, Scored
from harness.compare.seeds import RecipeDelta, recipe_deltas

__all__ = [
    "MetricPair",
    "NoiseFloor",
    "Problem",
    "RecipeDelta",
    "RunSource",
    "Scored",
    "Settings",
    "TaskPair",
    "compare",
    "noise_floors",
    "pair_task",
    "recipe_deltas",
]
