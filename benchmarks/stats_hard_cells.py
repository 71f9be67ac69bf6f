"""Rows on which a plain bootstrap breaks its promise: few, skewed, bounded, clustered, heavy.

Every function makes a sampler of (baseline, candidate, clusters) whose true change is exact, or the
mean of a large number of its own draws. ``stats_calibration.py`` holds the tests to them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray | None]
Draw = Callable[[np.random.Generator], Arrays]


@dataclass(frozen=True)
class Cell:
    """One simulated situation: draws (baseline, candidate, clusters) with a known true change."""

    name: str
    kind: str
    truth: float
    draw: Draw
    options: dict[str, Any] = field(default_factory=dict)
    thinned: int = 1
    """Every how many of the draws are made: calibration errors take a hundred times longer."""


# --- bounded rows ------------------------------------------------------------------------------


def rare_losses(n: int, share: float, jitter: float, gain: float = 0.0) -> Cell:
    """ROUGE-like rows in which everything jitters and a ``share`` of the rows loses all."""

    def draw(rng: np.random.Generator) -> Arrays:
        before = 0.2 + 0.6 * rng.beta(2, 2, n)
        after = np.clip(before + gain + rng.normal(0, jitter, n), 0, 1)
        after = np.where(rng.random(n) < share, 0.0, after)
        return before[:, None], after[:, None], None

    truth = (1 - share) * gain - share * 0.5
    return Cell(f"rare losses {100 * share:g}%, jitter {jitter:g}, n={n}", "bounded", truth, draw)


def full_losses(n: int, share: float, jitter: float) -> Cell:
    """The worst case of a guard: even jitter that half hides a loss of almost the whole range."""

    def draw(rng: np.random.Generator) -> Arrays:
        before = np.full(n, 0.82)
        after = before + jitter * math.sqrt(3) * rng.uniform(-1, 1, n)
        after = np.where(rng.random(n) < share, 0.0, after)
        return before[:, None], after[:, None], None

    name = f"full losses {100 * share:g}%, jitter {jitter:g}, n={n}"
    return Cell(name, "bounded", -share * 0.82, draw)


def rare_gains(n: int, share: float, jitter: float, fall: float) -> Cell:
    """The mirror image: all rows fall a little, and a ``share`` of them gains all there is."""

    def draw(rng: np.random.Generator) -> Arrays:
        before = 0.2 + 0.6 * rng.beta(2, 2, n)
        after = np.clip(before - fall + rng.normal(0, jitter, n), 0, 1)
        after = np.where(rng.random(n) < share, 1.0, after)
        return before[:, None], after[:, None], None

    truth = -(1 - share) * fall + share * 0.5
    return Cell(f"rare gains {share:.0%}, fall {fall:g}, n={n}", "bounded", truth, draw)


def near_one(n: int, share: float) -> Cell:
    """F1 near 1: half the rows are perfect, the rest almost, and a ``share`` collapses to 0."""

    def draw(rng: np.random.Generator) -> Arrays:
        before, after = (1 - 0.02 * rng.random(n) * (rng.random(n) < 0.5) for _ in range(2))
        after = np.where(rng.random(n) < share, 0.0, after)
        return before[:, None], after[:, None], None

    return Cell(f"F1 near 1, {share:.0%} collapse, n={n}", "bounded", -share * 0.995, draw)


def graded(n: int, spread: float, change: float) -> Cell:
    """Scores in 0..1 whose changes are symmetric, light-tailed and of one spread: Student's own."""

    def draw(rng: np.random.Generator) -> Arrays:
        reach = spread * math.sqrt(3)
        before = reach + abs(change) + (1 - 2 * reach - 2 * abs(change)) * rng.random(n)
        after = before + change + rng.uniform(-reach, reach, n)
        return before[:, None], after[:, None], None

    return Cell(f"graded rows, spread {spread:g}, n={n}", "bounded", change, draw)


def zero_inflated(n: int, share: float, worse: float) -> Cell:
    """Most rows are 0 on both sides; a ``share`` is scored, and part of that is lost entirely."""

    def draw(rng: np.random.Generator) -> Arrays:
        scored = rng.random(n) < share
        before = scored * rng.beta(4, 2, n)
        after = np.clip(before + scored * rng.normal(0, 0.05, n), 0, 1)
        after = np.where(scored & (rng.random(n) < worse), 0.0, after)
        return before[:, None], after[:, None], None

    truth = _mean_change(draw)
    return Cell(f"zero-inflated, {share:.0%} scored, n={n}", "bounded", truth, draw)


def two_values(n: int, lost: float, gained: float) -> Cell:
    """Graded rows with two values only, 0 and 1/2, which flip independently."""

    def draw(rng: np.random.Generator) -> Arrays:
        u = rng.random(n)
        before = np.where(u < lost, 0.5, np.where(u < lost + gained, 0.0, 0.5))
        after = np.where(u < lost, 0.0, 0.5)
        return before[:, None], after[:, None], None

    return Cell(f"two values 0 and .5, n={n}", "bounded", (gained - lost) / 2, draw)


def correlated_pairs(n: int, correlation: float, change: float) -> Cell:
    """Both runs are noisy readings of one difficulty, U-shaped between 0 and 1."""

    def draw(rng: np.random.Generator) -> Arrays:
        common = math.sqrt(correlation) * rng.normal(0, 1, n)
        own = math.sqrt(1 - correlation) * rng.normal(0, 1, (2, n))
        before, after = 1 / (1 + np.exp(-3 * (common + own)))
        return before[:, None], (after * (1 + change))[:, None], None

    return Cell(f"correlated pairs, rho {correlation:g}, n={n}", "bounded", change * 0.5, draw)


# --- 0/1 rows ----------------------------------------------------------------------------------


def flips(n: int, lost: float, gained: float) -> Cell:
    """0/1 rows, independent."""

    def draw(rng: np.random.Generator) -> Arrays:
        u = rng.random(n)
        before = np.where(u < lost, 1.0, np.where(u < lost + gained, 0.0, rng.random(n) < 0.6))
        after = np.where(u < lost, 0.0, np.where(u < lost + gained, 1.0, before))
        return before[:, None], after[:, None], None

    return Cell(f"0/1, lost {lost:g} gained {gained:g}, n={n}", "accuracy", gained - lost, draw)


# --- clusters ----------------------------------------------------------------------------------


def pareto_clusters(groups: int, kind: str, change: float, shape: float = 1.2) -> Cell:
    """Clusters whose sizes follow a Pareto law; rows of a cluster share most of their change."""

    def draw(rng: np.random.Generator) -> Arrays:
        sizes = np.minimum(5 * (1 + rng.pareto(shape, groups)), 2000).astype(int)
        return _in_clusters(rng, sizes, kind, change)

    return Cell(f"{groups} clusters of Pareto sizes, {kind}", kind, change, draw)


def huge_cluster(groups: int, kind: str, change: float) -> Cell:
    """One cluster holds as many rows as all the others together."""

    def draw(rng: np.random.Generator) -> Arrays:
        sizes = np.r_[10 * (groups - 1), np.full(groups - 1, 10)]
        return _in_clusters(rng, sizes, kind, change)

    return Cell(f"one huge cluster and {groups - 1} others, {kind}", kind, change, draw)


def lost_clusters(groups: int, size: int, kind: str, share: float) -> Cell:
    """A ``share`` of the clusters is lost as a whole; in the others few rows change, both ways."""

    def draw(rng: np.random.Generator) -> Arrays:
        codes = np.repeat(np.arange(groups), size)
        before = np.ones(len(codes))
        u = rng.random(len(codes))
        before, after = np.where(u < 0.03, 0.0, 1.0), np.where((u > 0.03) & (u < 0.06), 0.0, 1.0)
        after = np.where((rng.random(groups) < share)[codes], 0.0, after)
        if kind == "bounded":
            before, after = 0.9 * before, 0.9 * after
        return before[:, None], after[:, None], codes

    truth = -share * 0.97 * (0.9 if kind == "bounded" else 1.0)
    return Cell(f"{share:.0%} of {groups} clusters lost, {kind}", kind, truth, draw)


def _in_clusters(rng: np.random.Generator, sizes: np.ndarray, kind: str, change: float) -> Arrays:
    codes = np.repeat(np.arange(len(sizes)), sizes)
    n = len(codes)
    if kind == "bounded":
        shared = rng.normal(0, 0.06, len(sizes))[codes]
        before = 0.5 + 0.1 * rng.uniform(-1, 1, n)
        after = np.clip(before + change + shared + rng.normal(0, 0.06, n), 0, 1)
        return before[:, None], after[:, None], codes
    lost, gained = (0.12 - change) / 2, (0.12 + change) / 2
    u = np.where(rng.random(n) < 0.5, rng.random(len(sizes))[codes], rng.random(n))
    before = np.where(u < lost, 1.0, np.where(u < lost + gained, 0.0, 1.0))
    return before[:, None], np.where(u < lost, 0.0, 1.0)[:, None], codes


# --- perplexity, costs and ratios ---------------------------------------------------------------


def documents(
    n: int, sigma: float, change: float, outliers: float = 0.0, drift: float = 0.0
) -> Cell:
    """(log-likelihood, tokens), lengths log-normal; ``outliers`` lose one nat a token more.

    With ``drift`` a document's change grows with the logarithm of its length.
    """

    def draw(rng: np.random.Generator) -> Arrays:
        spread = rng.normal(0, sigma, n)
        length = np.ceil(np.exp(5 + spread))
        level = rng.normal(-3, 0.4, n)
        gain = change + rng.normal(0, 0.05, n) + rng.normal(0, 1, n) / np.sqrt(length)
        gain = gain - (rng.random(n) < outliers) + drift * (spread - sigma**2)
        old = np.column_stack([length * level, length])
        # No text is likelier than certain; only documents of one token or two come near it.
        return old, np.column_stack([length * np.minimum(level + gain, 0), length]), None

    name = f"perplexity, {n} documents, sigma {sigma:g}"
    name += f", {100 * outliers:g}% outliers" if outliers else ""
    name += ", drift in length" if drift else ""
    return Cell(name, "perplexity", change - outliers, draw)


def ratio_of_sums(sums: np.ndarray) -> np.ndarray:
    """Hits over opportunities of (..., 2) sums."""
    return np.asarray(sums[..., 0] / sums[..., 1])


def corpus_ratio(n: int, sigma: float, change: float) -> Cell:
    """A corpus score that is one sum over another, the denominators log-normal."""

    def draw(rng: np.random.Generator) -> Arrays:
        size = np.ceil(20 * np.exp(rng.normal(0, sigma, n)))
        ease = rng.beta(6, 4, n)
        after = np.clip(ease + change + rng.normal(0, 0.04, n), 0, 1)
        old, new = (
            np.column_stack([rng.binomial(size.astype(int), p), size]) for p in (ease, after)
        )
        return old.astype(float), new.astype(float), None

    options = {"aggregate": ratio_of_sums}
    return Cell(f"corpus ratio, sigma {sigma:g}, n={n}", "corpus", change, draw, options)


def costs(n: int, change: float, spikes: float = 0.0) -> Cell:
    """Seconds a request; a share of ``spikes`` takes e times as long. ``change`` < 0 is slower."""

    def draw(rng: np.random.Generator) -> Arrays:
        before = np.exp(rng.normal(0, 0.7, n))
        noise = rng.exponential(0.15, n) - 0.15 + (rng.random(n) < spikes) - spikes
        return before[:, None], (before * np.exp(noise - change))[:, None], None

    name = f"ratio n={n}" + (f", {spikes:.0%} spikes" if spikes else "")
    return Cell(name, "ratio", change, draw)


def _mean_change(draw: Draw, draws: int = 4000) -> float:
    rng = np.random.default_rng(77)
    changes = [
        float((after - before).mean()) for before, after, _ in (draw(rng) for _ in range(draws))
    ]
    return float(np.mean(changes))


def broken_cells() -> list[Cell]:
    """Where a bootstrap was measured to break its promise, and the same with rows enough."""
    return [
        *(rare_losses(n, 0.05, 0.05, 0.01) for n in (20, 50, 80, 200)),
        rare_losses(200, 0.02, 0.05),
        near_one(30, 0.02),
        near_one(100, 0.02),
        near_one(400, 0.02),
        pareto_clusters(20, "bounded", -0.03),
        pareto_clusters(20, "accuracy", -0.03),
        documents(60, 1.0, -0.02),
        documents(300, 2.0, -0.02),
        documents(100, 1.0, 0.0, outliers=0.02),
        documents(2000, 1.0, 0.0, outliers=0.02),
        corpus_ratio(500, 2.0, -0.02),
    ]


def own_cells() -> list[Cell]:
    """More of their kind."""
    return [
        zero_inflated(100, 0.1, 0.3),
        zero_inflated(400, 0.05, 0.3),
        huge_cluster(30, "bounded", -0.03),
        huge_cluster(30, "accuracy", -0.03),
        lost_clusters(30, 10, "accuracy", 0.05),
        lost_clusters(30, 10, "bounded", 0.05),
        graded(8, 0.15, -0.05),
        rare_losses(8, 0.1, 0.03),
        flips(8, 0.25, 0.0),
        flips(20, 0.1, 0.05),
        two_values(30, 0.1, 0.0),
        two_values(200, 0.05, 0.01),
        correlated_pairs(100, 0.8, -0.04),
        correlated_pairs(1000, 0.95, -0.04),
        documents(200, 1.0, -0.02, drift=0.02),
        *(documents(n, 1.0, 0.0, outliers=0.02) for n in (1000, 4000)),
        *(documents(2000, 1.0, 0.0, outliers=share) for share in (0.005, 0.01, 0.05)),
        rare_gains(50, 0.05, 0.03, 0.05),
        rare_losses(200, 0.01, 0.07),
        rare_losses(400, 0.01, 0.1),
        rare_losses(2000, 0.002, 0.05),
        graded(200, 0.2, -0.03),
        graded(2000, 0.2, -0.01),
        graded(200, 0.1, -0.0175),
        graded(200, 0.07, -0.02),
        *(full_losses(200, share, 0.1) for share in (0.005, 0.01, 0.02)),
        *(full_losses(200, share, 0.07) for share in (0.01, 0.015)),
        full_losses(2000, 0.002, 0.04),
        *(rare_losses(200, share, 0.1) for share in (0.005, 0.01, 0.02)),
        *(rare_losses(200, share, 0.05) for share in (0.01, 0.03)),
        flips(200, 0.07, 0.03),
        costs(100, -0.1, spikes=0.03),
    ]
