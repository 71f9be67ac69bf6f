"""Comparison: any number of scored runs against one baseline, paired sample by sample."""

from steelyard.harness.compare.comparing import compare
from steelyard.harness.compare.deltas import MetricPair, Settings, TaskPair, pair_task
from steelyard.harness.compare.noise import NoiseFloor, noise_floors
from steelyard.harness.compare.problems import Problem
from steelyard.harness.compare.scored import Scored
from steelyard.harness.compare.seeds import RecipeDelta, recipe_deltas

__all__ = [
    "MetricPair",
    "NoiseFloor",
    "Problem",
    "RecipeDelta",
    "Scored",
    "Settings",
    "TaskPair",
    "compare",
    "noise_floors",
    "pair_task",
    "recipe_deltas",
]
