"""Several seeds of one recipe: what may be said of the recipe, and not of one checkpoint."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from steelyard.harness.compare.claims import MIN_SEEDS, manifests, recipe_of
from steelyard.harness.compare.scored import Scored
from steelyard.harness.records import Comparison, DeltaVerdict


@dataclass(frozen=True)
class RecipeDelta:
    """The mean difference of one metric over a recipe's seeds, with Student's 95% interval.

    The spread holds what the seed changes and the samples' noise; its interval is about other
    seeds of this recipe on items like these.
    """

    candidates: tuple[str, ...]
    task: str
    metric: str
    mean: float
    standard_deviation: float
    low: float
    high: float

    @property
    def seeds(self) -> int:
        """How many seeds there are."""
        return len(self.candidates)

    @property
    def verdict(self) -> DeltaVerdict | None:
        """What the interval says of the recipe; None where the seeds are too few to say."""
        if self.seeds < MIN_SEEDS:
            return None
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "inconclusive"


def recipe_deltas(
    comparisons: Sequence[Comparison], candidates: Sequence[Scored]
) -> tuple[RecipeDelta, ...]:
    """Every metric of every recipe that stands there with at least two seeds.

    ``comparisons`` and ``candidates`` in the same order, as ``compare`` took and gave them.
    """
    manifests_by_digest = manifests(candidates)
    groups: dict[str, dict[int, Comparison]] = {}
    for comparison, candidate in zip(comparisons, candidates, strict=True):
        manifest = candidate.run.checkpoint
        if manifest.seed is not None and comparison.comparable:
            groups.setdefault(recipe_of(manifest, manifests_by_digest), {}).setdefault(
                manifest.seed, comparison
            )
    return tuple(
        delta
        for group in groups.values()
        if len(group) >= 2
        for delta in _of_group(tuple(group.values()))
    )


def _of_group(group: Sequence[Comparison]) -> list[RecipeDelta]:
    deltas = []
    for first in group[0].deltas:
        values = [
            delta.delta
            for comparison in group
            for delta in comparison.deltas
            if (delta.task, delta.metric) == (first.task, first.metric) and delta.delta is not None
        ]
        if len(values) < len(group):
            continue
        mean, spread = float(np.mean(values)), float(np.std(values, ddof=1))
        reach = float(stats.t.ppf(0.975, len(values) - 1)) * spread / math.sqrt(len(values))
        deltas.append(
            RecipeDelta(
                candidates=tuple(comparison.candidate for comparison in group),
                task=first.task,
                metric=first.metric,
                mean=mean,
                standard_deviation=spread,
                low=mean - reach,
                high=mean + reach,
            )
        )
    return deltas
