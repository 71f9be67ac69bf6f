"""Drift of one recipe over its releases: each is held against one baseline, at a level of its own.

Whoever compares every week's model with the first one at .05 has a false alarm after a few months.
Here all releases together share one budget (``stats.spending``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from steelyard.harness.compare.comparing import compare
from steelyard.harness.compare.families import leading
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
    def problems(self) -> tuple[str, ...]:
        """Why it cannot be judged: what may not be compared, or that nothing could be tested."""
        if self.comparison.problems or self._leading:
            return self.comparison.problems
        return ("no metric that both runs have could be tested",)

    @property
    def drifted(self) -> tuple[Delta, ...]:
        """Leading metrics that changed beyond the level, the largest fall first."""
        changed = [
            delta
            for delta in self._leading
            if delta.p_adjusted is not None and delta.p_adjusted <= self.level and delta.delta
        ]
        return tuple(sorted(changed, key=lambda delta: delta.delta or 0.0))

    @property
    def fell(self) -> tuple[Delta, ...]:
        """Those of ``drifted`` that are worse now."""
        return tuple(delta for delta in self.drifted if (delta.delta or 0.0) < 0)

    @property
    def lowest(self) -> Delta | None:
        """The leading metric with the smallest p-value among those that fell, called or not."""
        below = [delta for delta in self._leading if (delta.delta or 0.0) < 0]
        return min(below, key=lambda delta: delta.p_value or 0.0, default=None)

    @property
    def _leading(self) -> list[Delta]:
        return leading(self.comparison.deltas)


def releases_against(
    baseline: Scored, runs: Sequence[Scored], budget: float
) -> tuple[Release, ...]:
    """Every run against ``baseline``, in order, each at its share of the budget.

    Args:
        baseline: the first release, or one that was pinned.
        runs: the releases after it, oldest first. Of several runs of the same weights the last
            counts, at the place of the first; those of the baseline's own weights are no look.
        budget: the chance that recipes that never change raise any alarm, over all releases.
    """
    looks: list[Scored] = []
    for run in runs:
        if run.run.id == baseline.run.id or run.run.has_weights_of(baseline.run):
            continue
        again = [i for i, look in enumerate(looks) if run.run.has_weights_of(look.run)]
        if again:
            looks[again[0]] = run
        else:
            looks.append(run)
    releases = []
    for number, run in enumerate(looks, 1):
        [comparison] = compare(baseline, [run], slices=False, flips_per_task=0)
        releases.append(Release(number, run, spent(budget, number), comparison))
    return tuple(releases)
