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
    seeds of this recipe on items like these. Seeds that made the same model are one draw.
    """

    candidates: tuple[str, ...]
    task: str
    metric: str
    mean: float
    standard_deviation: float
    low: float | None
    """None where every seed made the same model."""
    high: float | None
    models: int
    """How many different models the seeds made."""

    @property
    def seeds(self) -> int:
        """How many seeds there are."""
        return len(self.candidates)

    @property
    def verdict(self) -> DeltaVerdict | None:
        """What the interval says of the recipe; None where the models are too few to say."""
        if self.models < MIN_SEEDS or self.low is None or self.high is None:
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
    groups: dict[str, dict[int, tuple[str, Comparison]]] = {}
    for comparison, candidate in zip(comparisons, candidates, strict=True):
        manifest = candidate.run.checkpoint
        if manifest.seed is not None and comparison.comparable:
            groups.setdefault(recipe_of(manifest, manifests_by_digest), {}).setdefault(
                manifest.seed, (manifest.digest, comparison)
            )
    return tuple(
        delta
        for group in groups.values()
        if len(group) >= 2
        for delta in _of_group(tuple(group.values()))
    )


def _of_group(group: Sequence[tuple[str, Comparison]]) -> list[RecipeDelta]:
    # A step that draws nothing (pruning, a copy) makes one model, whatever its seeds.
    models = dict(reversed(group)).values()
    candidates = tuple(comparison.candidate for _, comparison in group)
    deltas = []
    for first in group[0][1].deltas:
        values = [
            delta.delta
            for comparison in models
            for delta in comparison.deltas
            if (delta.task, delta.metric) == (first.task, first.metric) and delta.delta is not None
        ]
        if len(values) == len(models):
            deltas.append(_delta(candidates, first.task, first.metric, values))
    return deltas


def _delta(
    candidates: tuple[str, ...], task: str, metric: str, values: Sequence[float]
) -> RecipeDelta:
    mean, n = float(np.mean(values)), len(values)
    if n == 1:
        return RecipeDelta(candidates, task, metric, mean, 0.0, None, None, n)
    spread = float(np.std(values, ddof=1))
    reach = float(stats.t.ppf(0.975, n - 1)) * spread / math.sqrt(n)
    return RecipeDelta(candidates, task, metric, mean, spread, mean - reach, mean + reach, n)
