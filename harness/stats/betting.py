"""The two games behind a sequential test: capital bet on "better" and on "worse" than a null.

Steps are items, or clusters drawn whole. The residual of a step is its sum less what the null
predicts of it, so under the null all residuals add up to 0; drawn without replacement, the next one
is expected to make up for those seen [Waudby-Smith and Ramdas 2020, section 3; 2023, section 4].

Bets need no knowledge of the spread. Each game spreads its capital over three assumed distances
from the null (a mixture of martingales is a martingale). Each bets distance over variance, near
the bet of fastest growth; the variance is estimated from the steps seen so far, and without
replacement the distance grows as fewer steps are left, since what the whole is off by must show in
them. Any bets that look only backwards keep the error rate; these were chosen for speed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from steelyard.harness.stats.rows import Floats

#: Assumed distances from the margin, in margins, and the share of the capital on each.
PASS_BETS = ((1.1, 0.50), (1.6, 0.35), (4.0, 0.15))
FAIL_BETS = ((0.65, 0.40), (1.6, 0.45), (5.0, 0.15))
PRIOR_VARIANCE = 0.1
"""Assumed variance of 0/1 differences: one item in ten changes. Weighs ``PRIOR_STEPS`` steps."""
PRIOR_STEPS = 20
LARGEST_STAKE = 0.95
"""Share of the capital that the worst outcome may cost."""


@dataclass
class Capital:
    """What the bets remember: steps taken, their residuals, log capital on each distance."""

    steps: int
    residual: float
    squares: float
    passing: Floats
    failing: Floats

    @classmethod
    def fresh(cls) -> Capital:
        """Before the first step; the capital of each game is 1."""
        passing, failing = (np.log([share for _, share in bets]) for bets in (PASS_BETS, FAIL_BETS))
        return cls(0, 0.0, 0.0, passing, failing)


@dataclass(frozen=True)
class Games:
    """The rules: ``steps`` steps of ``items`` items in all, values in [``low``, ``high``]."""

    items: int
    steps: int
    low: float
    high: float
    largest: int
    margin: float
    variance: float
    replacement: bool
    """True: steps are independent draws; False: they exhaust a finite whole."""

    def play(
        self, sums: Floats, sizes: Floats, null: float, capital: Capital
    ) -> tuple[Floats, Floats]:
        """Log capital of both games after each new step, (c,) each; ``capital`` is advanced.

        ``sums`` (c,) are the steps' totals, ``sizes`` (c,) their numbers of items, ``null`` the
        mean per item that is bet against.
        """
        residual = sums - null * sizes
        step = capital.steps + np.arange(len(residual), dtype=np.float64)
        before = capital.residual + np.cumsum(residual) - residual
        # Without replacement the residuals of all steps add up to 0 under the null, so the rest
        # must make up for those seen: the next is expected at -before / left.
        left = np.maximum(self.steps - step, 1)
        expected = np.zeros(len(left)) if self.replacement else -before / left
        growth = np.ones(len(left)) if self.replacement else self.steps / left
        variance = self._variance(residual, step, before, capital)
        # The worst a step can do to either game, which bounds its bets: a stake below 1 / worst
        # leaves capital, and a game that is ruined by one step could never decide again.
        down = np.maximum(1e-9, expected - (self.low - null) * self.largest)
        up = np.maximum(1e-9, (self.high - null) * self.largest - expected)
        passing = _grow(
            capital.passing, residual - expected, self._wanted(PASS_BETS, growth), variance, down
        )
        failing = _grow(
            capital.failing, expected - residual, self._wanted(FAIL_BETS, growth), variance, up
        )
        capital.steps += len(residual)
        capital.residual += float(residual.sum())
        capital.squares += float((residual**2).sum())
        return passing, failing

    def _variance(self, residual: Floats, step: Floats, before: Floats, capital: Capital) -> Floats:
        """Of a step's residual, from the steps before it and the prior, (c,)."""
        squares = capital.squares + np.cumsum(residual**2) - residual**2
        around = np.maximum(squares - before**2 / np.maximum(step, 1), 0.0)
        prior = PRIOR_STEPS * self.variance * self.items / self.steps
        result: Floats = (prior + around) / (PRIOR_STEPS + step)
        return result

    def _wanted(self, bets: tuple[tuple[float, float], ...], growth: Floats) -> Floats:
        """The distance of a step's mean from the null that each bet assumes, (c, bets)."""
        # Below what the whole can resolve, smaller bets gain nothing.
        unit = max(self.margin, float(np.sqrt(self.variance / self.items)))
        distances = np.array([distance for distance, _ in bets]) * unit * self.items / self.steps
        result: Floats = growth[:, None] * distances
        return result


def _grow(
    logs: Floats, surprise: Floats, wanted: Floats, variance: Floats, worst: Floats
) -> Floats:
    """Log capital over all bets after each step; ``logs`` (bets,) is advanced in place."""
    # The stake of fastest growth for a step of mean m and variance v: log(1 + s x) is to second
    # order s x - (s x)^2 / 2, whose mean s m - s^2 (v + m^2) / 2 is highest at m / (v + m^2).
    stake = wanted / (variance[:, None] + wanted**2)
    stake = np.minimum(stake, (LARGEST_STAKE / worst)[:, None])
    gain = np.maximum(stake * surprise[:, None], -LARGEST_STAKE)
    # Capital is a product of many factors, so its logarithms are added; the sum over bets is taken
    # without leaving that scale, where 1e-400 is a number like any other.
    each = logs + np.cumsum(np.log1p(gain), axis=0)
    logs[:] = each[-1]
    result: Floats = np.logaddexp.reduce(each, axis=1)
    return result
