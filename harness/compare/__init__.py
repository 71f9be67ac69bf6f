"""Comparison: any number of scored runs against one baseline, paired sample by sample."""

from steelyard.harness.compare.baseline_file import open_run
from steelyard.harness.compare.comparability import inspect_run
from steelyard.harness.compare.comparing import compare
from steelyard.harness.compare.deltas import (
    MetricPair,
    Settings,
    TaskPair,
    aggregate_of,
    pair_task,
    run_test,
)
from steelyard.harness.compare.generation import generation_notes
from steelyard.harness.compare.noise import NoiseFloor, noise_floors
from steelyard.harness.compare.pairing import Alone, Paired, alone, pair, part_of
from steelyard.harness.compare.parts import part_notes
from steelyard.harness.compare.problems import Problem, lines
from steelyard.harness.compare.releases import Release, releases_against
from steelyard.harness.compare.scored import Scored
from steelyard.harness.compare.seeds import RecipeDelta, recipe_deltas
from steelyard.harness.compare.slices import Labelled, all_slices, labelled

__all__ = [
    "Alone",
    "Labelled",
    "MetricPair",
    "NoiseFloor",
    "Paired",
    "Problem",
    "RecipeDelta",
    "Release",
    "Scored",
    "Settings",
    "TaskPair",
    "aggregate_of",
    "all_slices",
    "alone",
    "compare",
    "generation_notes",
    "inspect_run",
    "labelled",
    "lines",
    "noise_floors",
    "open_run",
    "pair",
    "pair_task",
    "part_notes",
    "part_of",
    "recipe_deltas",
    "releases_against",
    "run_test",
]
