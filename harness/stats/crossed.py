"""Seeds crossed with items: what a recipe's mean change is worth, and on what.

A recipe that was trained with several seeds is asked the same items each time. What the items
happen to be moves all seeds together, so the spread between seeds does not hold it; what a seed
happens to be moves all items together, so a paired test of one checkpoint does not hold that. The
two are crossed random effects (Owen 2007, "The pigeonhole bootstrap", Ann. Appl. Stat. 1:386-411;
for language models' benchmarks Madaan et al. 2024, arXiv 2406.10229):

    y[seed, item] = change + seed + item + rest

The variance of the mean is that of seeds over S, of items over n, and of the rest over S n. Seeds
are few and items many, so that one Student's t fits neither: the squared half widths of the two
intervals add up (the modified large-sample method of Graybill and Wang 1980, J. Am. Stat. Assoc.
75:869-873, as Zou's MOVER), with the rest counted once, among the seeds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from steelyard.harness.errors import StatisticsError
from steelyard.harness.stats.rows import Clusters, Floats, check_clusters


@dataclass(frozen=True)
class CrossedEffect:
    """The mean of (S, n) changes, and what its error is for each claim.

    ``mean`` is these checkpoints' change on these items, which has no sampling error. The squared
    standard errors are of the seeds (the rest included), of the items for these checkpoints (the
    rest included), and of the rest alone.
    """

    mean: float
    seeds: int
    items: int
    """Independent ones: clusters, where there are any."""
    spread: float
    """Standard deviation of the seeds' means."""
    seed_variance: float
    item_variance: float
    rest_variance: float

    def of_checkpoints(self, alpha: float = 0.05) -> tuple[float, float]:
        """These checkpoints on items like these: Student's interval at 1 - ``alpha``."""
        return self._interval(self._reach(alpha, self.items) * math.sqrt(self.item_variance))

    def of_recipe_here(self, alpha: float = 0.05) -> tuple[float, float] | None:
        """The recipe (other seeds) on these items; None with one seed."""
        if self.seeds < 2:
            return None
        return self._interval(self._reach(alpha, self.seeds) * math.sqrt(self.seed_variance))

    def of_recipe(self, alpha: float = 0.05) -> tuple[float, float] | None:
        """The recipe on items like these; None with one seed."""
        if self.seeds < 2:
            return None
        of_seeds = self._reach(alpha, self.seeds) ** 2 * self.seed_variance
        items_alone = max(self.item_variance - self.rest_variance, 0.0)
        of_items = self._reach(alpha, self.items) ** 2 * items_alone
        return self._interval(math.sqrt(of_seeds + of_items))

    @staticmethod
    def _reach(alpha: float, count: int) -> float:
        return float(stats.t.ppf(1 - alpha / 2, count - 1))

    def _interval(self, half: float) -> tuple[float, float]:
        return self.mean - half, self.mean + half


def crossed_effect(changes: ArrayLike, clusters: Clusters = None) -> CrossedEffect:
    """The crossed effect of (S, n) changes: a row a seed, a column an item, in one order.

    ``clusters`` labels items that belong together, (n,). Raises ``StatisticsError`` where the table
    is not of that shape, holds a number that is not finite, or has fewer than two items.
    """
    table = np.asarray(changes, dtype=np.float64)
    if table.ndim != 2 or not table.shape[0] or not np.isfinite(table).all():
        raise StatisticsError("changes must be finite numbers, a row a seed and a column an item")
    seeds, n = table.shape
    codes = check_clusters(clusters, n)
    means = table.mean(axis=1)
    residuals = _summed(table - means[:, None], codes)
    groups = residuals.shape[1]
    if groups < 2:
        raise StatisticsError("fewer than two items or clusters, so their spread cannot be told")
    scale = groups / (groups - 1) / n**2
    shared = residuals.mean(axis=0)
    rest = 0.0
    if seeds > 1:
        rest = float(((residuals - shared) ** 2).sum()) * scale / (seeds - 1) / seeds
    return CrossedEffect(
        mean=float(means.mean()),
        seeds=seeds,
        items=groups,
        spread=float(means.std(ddof=1)) if seeds > 1 else 0.0,
        seed_variance=float(means.var(ddof=1)) / seeds if seeds > 1 else 0.0,
        item_variance=float((shared**2).sum()) * scale,
        rest_variance=rest,
    )


def _summed(residuals: Floats, codes: np.ndarray | None) -> Floats:
    """Residuals (S, n) summed within clusters, (S, G)."""
    if codes is None:
        return residuals
    sums = np.zeros((residuals.shape[0], int(codes.max()) + 1))
    for row, values in zip(sums, residuals, strict=True):
        np.add.at(row, codes, values)
    return sums
