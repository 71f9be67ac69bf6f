"""Stop as soon as it is certain: a betting martingale on paired differences.

The claim "the mean difference is at most -margin" is a game that no strategy wins on average:
before each item a share of the capital is bet on the difference being above what the claim
predicts of the items that are left. If the claim is true, capital reaches 1 / alpha with
probability at most alpha, however often one looks (Ville), so reaching it is PASS; the mirrored
game is FAIL [Waudby-Smith and Ramdas 2020, "Confidence sequences for sampling without
replacement"; 2023, "Estimating means of bounded random variables by betting", arXiv 2010.09686].

* claim ``benchmark`` is about these N items, taken in a random order fixed beforehand: the claim's
  prediction moves with what was seen, and a full pass is inconclusive only at equality;
* claim ``population`` is about items like these (independent draws): the prediction stands still,
  and a full pass may well be inconclusive.

How the capital is bet stands in ``betting``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from steelyard.harness.errors import StatisticsError
from steelyard.harness.stats.betting import PRIOR_VARIANCE, Capital, Games
from steelyard.harness.stats.rows import (
    Clusters,
    Floats,
    check_clusters,
    check_levels,
    check_rows,
    sum_clusters,
)

Decision = Literal["pass", "fail", "inconclusive"]
Claim = Literal["benchmark", "population"]


@dataclass(frozen=True)
class SequentialResult:
    """How an early decision ended; ``interval`` covers the mean at 1 - 2 alpha at any stop."""

    verdict: Decision
    used: int
    """Items taken when it was decided; ``total`` where it was not."""
    total: int
    interval: tuple[float, float]
    claim: Claim = "benchmark"


class SequentialTest:
    """PASS, FAIL or not yet, fed with differences in their committed order.

    ``total`` is the number of items; differences (positive is better) lie in [``low``, ``high``].
    ``alpha`` holds for each side. Where samples share documents, whole clusters are drawn:
    ``clusters`` is their number, ``largest`` the size of the largest, and ``update`` takes the sums
    of the differences of each cluster with the cluster sizes.
    """

    def __init__(
        self,
        total: int,
        *,
        margin: float,
        alpha: float,
        low: float = -1.0,
        high: float = 1.0,
        claim: Claim = "benchmark",
        clusters: int | None = None,
        largest: int = 1,
        prior_variance: float | None = None,
    ) -> None:
        check_levels(alpha, margin)
        if total < 1 or largest < 1 or (clusters is not None and not 1 <= clusters <= total):
            raise StatisticsError("total, clusters and largest must be 1 or more", value=total)
        if not low < -margin < high:
            raise StatisticsError(
                f"-margin must lie between low ({low:g}) and high ({high:g})", value=margin
            )
        if claim not in ("benchmark", "population"):
            raise StatisticsError("claim must be 'benchmark' or 'population'", value=claim)
        self.total, self.margin, self.alpha, self.claim = total, margin, alpha, claim
        self.low, self.high, self.largest = low, high, largest
        steps = total if clusters is None else clusters
        variance = PRIOR_VARIANCE * ((high - low) / 2) ** 2
        self._games = Games(
            items=total,
            steps=steps,
            low=low,
            high=high,
            largest=largest,
            margin=margin,
            variance=variance if prior_variance is None else prior_variance,
            replacement=claim == "population",
        )
        self.verdict: Decision = "inconclusive"
        self.used = 0
        self._sums: list[Floats] = []
        self._sizes: list[Floats] = []
        self._capital = Capital.fresh()

    def update(self, chunk: ArrayLike, sizes: ArrayLike | None = None) -> Decision:
        """Take the next differences, (c,), and say whether they decide; decided stays decided.

        Raises ``StatisticsError`` for NaN, values out of bounds and more items than ``total``.
        """
        if np.size(chunk) == 0 or self.verdict != "inconclusive":
            return self.verdict
        sums = check_rows(chunk, "bounded", "differences")[:, 0]
        counts = np.ones(len(sums)) if sizes is None else np.asarray(sizes, dtype=np.float64)
        self._check(sums, counts)
        at, verdict = self._first_decision(sums, counts)
        self._sums.append(sums[:at])
        self._sizes.append(counts[:at])
        self.used += int(counts[:at].sum())
        self.verdict = verdict
        return verdict

    def _check(self, sums: Floats, counts: Floats) -> None:
        if counts.shape != sums.shape or (counts < 1).any() or (counts > self.largest).any():
            raise StatisticsError(f"every cluster size must lie between 1 and {self.largest}")
        slack = 1e-9 * (self.high - self.low)
        outside = (sums < self.low * counts - slack) | (sums > self.high * counts + slack)
        if outside.any():
            raise StatisticsError(
                f"difference outside [{self.low:g}, {self.high:g}]",
                value=float(sums[outside][0]),
                fix="give the metric's bounds as low= and high=, or clip and report the share",
            )
        taken = sum(map(len, self._sums)) + len(sums)
        if taken > self._games.steps or self.used + counts.sum() > self.total:
            raise StatisticsError(
                f"more differences than the {self.total} announced",
                fix="a sequential test is void when its items change",
            )

    def _first_decision(self, sums: Floats, counts: Floats) -> tuple[int, Decision]:
        """How many of the new steps it takes to decide (all, if none does), and the verdict."""
        seen = self._capital.residual
        passing, failing = self._games.play(sums, counts, -self.margin, self._capital)
        left = self.total - self.used - np.cumsum(counts)
        # Exact counting: what the remaining items could still change.
        excess = seen + np.cumsum(sums + self.margin * counts)
        slack = 1e-9 * self.total
        # If a claim is true, the capital bet against it ever reaches 1 / alpha with probability
        # alpha at most, however often one looks (Ville 1939).
        threshold = -np.log(self.alpha)
        passed, failed = passing >= threshold, failing >= threshold
        if self.claim == "benchmark":
            passed |= excess + (self.low + self.margin) * left > slack
            failed |= excess + (self.high + self.margin) * left < -slack
        decided = np.flatnonzero(passed | failed)
        if not len(decided):
            return len(sums), "inconclusive"
        return int(decided[0]) + 1, "pass" if passed[decided[0]] else "fail"

    def interval(self) -> tuple[float, float]:
        """The means that neither game has ruled out so far, at 1 - 2 alpha, valid at any stop."""
        if not self._sums:
            return self.low, self.high
        sums, counts = np.concatenate(self._sums), np.concatenate(self._sizes)
        seen = float(sums.sum())
        mean = seen / self.used
        if self.claim == "population":
            least, most = self.low, self.high
        else:
            left = self.total - self.used
            least = (seen + self.low * left) / self.total
            most = (seen + self.high * left) / self.total
        return (
            self._boundary(sums, counts, least, mean, side=0),
            self._boundary(sums, counts, most, mean, side=1),
        )

    def _boundary(self, sums: Floats, counts: Floats, end: float, mean: float, side: int) -> float:
        """The null between ``end`` and ``mean`` up to which the game of ``side`` rules out."""

        def ruled_out(null: float) -> bool:
            wealth = self._games.play(sums, counts, null, Capital.fresh())[side]
            return bool(wealth.max() >= -np.log(self.alpha))

        # 24 halvings leave 6e-8 of the way; what is returned is still ruled out, so that rounding
        # widens the interval and never narrows it.
        outer, inner = end, float(np.clip(mean, self.low, self.high))
        for _ in range(24):
            middle = (outer + inner) / 2
            outer, inner = (middle, inner) if ruled_out(middle) else (outer, middle)
        return outer

    def result(self) -> SequentialResult:
        """The verdict so far with its cost and interval."""
        return SequentialResult(self.verdict, self.used, self.total, self.interval(), self.claim)


def sequential_test(
    differences: ArrayLike,
    *,
    margin: float,
    alpha: float,
    low: float = -1.0,
    high: float = 1.0,
    clusters: Clusters = None,
    claim: Claim = "benchmark",
) -> SequentialResult:
    """Take (n,) differences in the order given and stop where they decide; see ``SequentialTest``.

    With ``clusters``, (n,) labels, whole clusters are taken in the order of their first sample.
    """
    values = check_rows(differences, "bounded", "differences")
    codes = check_clusters(clusters, len(values))
    if codes is None:
        test = SequentialTest(
            len(values), margin=margin, alpha=alpha, low=low, high=high, claim=claim
        )
        test.update(values)
        return test.result()
    sizes = np.bincount(codes)
    test = SequentialTest(
        len(values),
        margin=margin,
        alpha=alpha,
        low=low,
        high=high,
        claim=claim,
        clusters=len(sizes),
        largest=int(sizes.max()),
    )
    test.update(sum_clusters(values, codes), sizes)
    return test.result()


def clip_differences(differences: ArrayLike, low: float, high: float) -> tuple[Floats, float]:
    """Differences within stated bounds, and the share of them that clipping changed.

    For unbounded scores (log-likelihoods); the decision is then about the clipped mean.
    """
    values = check_rows(differences, "bounded", "differences")[:, 0]
    clipped: Floats = np.clip(values, low, high)
    return clipped, float((clipped != values).mean())
