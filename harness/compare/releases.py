"""Drift of one recipe over its releases: each is held against one baseline, at a level of its own.

Whoever compares every week's model with the first one at .05 has a false alarm after a few months.
Here all releases together share one budget (``stats.spending``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from steelyard.harness.compare.comparing import compare
from steelyard.harness.compare.scored import Scored
from steelyard.harness.records import Comparison, Delta
from steelyard.harness.stats import spent


@dataclass(frozen=True)
class Release:
    """One release of a recipe against the baseline."""

    number: int
    """Of the looks that were taken, from 1."""
    run: Scored
    level: float
    """What its p-values, adjusted over its tasks, must not exceed to raise an alarm."""
    comparison: Comparison

    @property
    def drifted(self) -> tuple[Delta, ...]:
        """Primary metrics that changed beyond the level, the largest fall first."""
        changed = [
            delta
            for delta in self._primary
            if delta.p_adjusted is not None and delta.p_adjusted <= self.level and delta.delta
        ]
        return tuple(sorted(changed, key=lambda delta: delta.delta or 0.0))

    @property
    def fell(self) -> tuple[Delta, ...]:
        """Those of ``drifted`` that are worse now."""
        return tuple(delta for delta in self.drifted if (delta.delta or 0.0) < 0)

    @property
    def lowest(self) -> Delta | None:
        """The primary metric with the smallest p-value among those that fell, called or not."""
        below = [d for d in self._primary if (d.delta or 0.0) < 0 and d.p_value is not None]
        return min(below, key=lambda delta: delta.p_value or 0.0, default=None)

    @property
    def _primary(self) -> list[Delta]:
        return [delta for delta in self.comparison.deltas if delta.primary]


def releases_against(
    baseline: Scored, runs: Iterable[Scored], budget: float
) -> tuple[Release, ...]:
    """Every run against ``baseline``, in order, each at its share of the budget.

    Args:
        baseline: the first release, or one that was pinned.
        runs: the releases after it, oldest first. One with the checkpoint of a run before it shows
            nothing new and is no further look.
        budget: the chance that recipes that never change raise any alarm, over all releases.
    """
    seen = {baseline.run.checkpoint.digest}
    releases: list[Release] = []
    for run in runs:
        if run.run.checkpoint.digest in seen:
            continue
        seen.add(run.run.checkpoint.digest)
        number = len(releases) + 1
        [comparison] = compare(baseline, [run], slices=False, flips_per_task=0)
        releases.append(Release(number, run, spent(budget, number), comparison))
    return tuple(releases)
