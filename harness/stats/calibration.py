"""Calibration error and selective risk, with paired bootstraps. Rows: (confidence, correct).

* ECE: 10 equal-mass bins, |accuracy - confidence| weighted by mass, less the part that sampling
  noise alone would give (Kumar, Liang and Ma 2019, arXiv 1909.10155; the expectation of the folded
  normal in closed form instead of their resampling). Plain binned ECE is biased upward by about
  sqrt(bins / n).
* AURC: area under the risk-coverage curve, the mean risk of answering only the most confident k,
  over all k (Geifman, Uziel and El-Yaniv 2019, arXiv 1805.08206). Samples of equal confidence share
  their weights, so their order cannot matter.

Both are functions of a histogram: right and wrong answers on each step of a ladder of confidences.
Resampling moves counts between steps, so a draw never sorts. The estimate uses every distinct
confidence as a step; resampling uses at most ``STEPS`` of equal mass.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse, special

from steelyard.harness.stats.resampling import bootstrap_counts, chunk_sizes
from steelyard.harness.stats.rows import Floats, Labels

BINS = 10
STEPS = 512
CALIBRATION_METHODS = ("ece", "aurc", "brier")
_CHUNK_CELLS = 500_000
_MAX_CELLS = 100_000_000


class Ladder:
    """Steps of rising confidence, (S,), and where the rows of a run fall on them."""

    def __init__(self, confidences: Floats, steps: int | None = None) -> None:
        distinct, counts = np.unique(confidences, return_counts=True)
        if steps is None or len(distinct) <= steps:
            self.edges = distinct
        else:
            # Step i ends at the confidence that completes i / steps of the rows; the largest ends
            # the last, so that every row falls on a step.
            ends = np.searchsorted(
                np.cumsum(counts), len(confidences) * np.arange(1, steps) / steps
            )
            self.edges = distinct[np.unique(np.append(ends, len(distinct) - 1))]
        step = np.searchsorted(self.edges, confidences)
        # Where several confidences share a step: their mean, which leaves the sum of gaps as it is.
        self.confidence: Floats = np.bincount(step, confidences) / np.bincount(step)

    def indicator(self, rows: Floats) -> sparse.csr_array:
        """(2S, n) zeros and ones: row i is wrong on step s, or right on step S + s."""
        step = np.searchsorted(self.edges, rows[:, 0])
        cell = step + len(self.edges) * (rows[:, 1] == 1)
        shape, n = (2 * len(self.edges), len(rows)), len(rows)
        return sparse.csr_array((np.ones(n), (cell, np.arange(n))), shape=shape)

    def error(self, histograms: Floats, method: str) -> Floats:
        """ "ece" or "aurc" of (draws, 2S) histograms, (draws,)."""
        wrong, right = np.split(histograms, 2, axis=1)
        if method == "aurc":
            return area_under_risk_coverage(wrong, right)
        return expected_calibration_error(wrong, right, self.confidence)


def expected_calibration_error(wrong: Floats, right: Floats, confidence: Floats) -> Floats:
    """Debiased ECE of (draws, S) counts of wrong and right answers at (S,) rising confidences.

    Bins end at the step that completes a tenth of the mass; equal confidences are never split.
    """
    size = wrong + right
    reached = np.cumsum(size, axis=1)
    total = reached[:, -1:]
    # A little below the goal: sums of counts are whole, but total * k / 10 may round up past them.
    goals = total * np.arange(1, BINS + 1) / BINS - 1e-9
    # The same place in two bins makes an empty one, of no mass and no weight.
    ends = np.stack(
        [np.searchsorted(line, goal) for line, goal in zip(reached, goals, strict=True)]
    )
    lines = np.arange(len(size))[:, None]
    mass = np.diff(reached[lines, ends], axis=1, prepend=0.0)
    hits = np.diff(np.cumsum(right, axis=1)[lines, ends], axis=1, prepend=0.0)
    belief = np.diff(np.cumsum(size * confidence, axis=1)[lines, ends], axis=1, prepend=0.0)
    counted = np.maximum(mass, 1e-12)
    share, gap = hits / counted, (hits - belief) / counted
    # A bin's gap is the true one plus noise of this deviation, so that its size is on average
    # E|N(gap, noise)| and not |gap|: what is beyond is taken off.
    noise = np.sqrt(np.maximum(share * (1 - share), 0.0) / counted)
    excess = _folded_mean(gap, noise) - np.abs(gap)
    error = ((np.abs(gap) - excess) * mass).sum(axis=1) / total[:, 0]
    result: Floats = np.maximum(error, 0.0)
    return result


def _folded_mean(mean: Floats, deviation: Floats) -> Floats:
    """E|X| for X ~ N(mean, deviation^2), elementwise."""
    # Beyond 40 deviations exp and ndtr are 0 and 1 in double precision.
    ratio = np.divide(mean, deviation, out=np.full_like(mean, 40.0), where=deviation > 0)
    ratio = np.clip(ratio, -40.0, 40.0)
    result: Floats = np.where(
        deviation > 0,
        deviation * np.sqrt(2 / np.pi) * np.exp(-(ratio**2) / 2)
        + mean * (1 - 2 * special.ndtr(-ratio)),
        np.abs(mean),
    )
    return result


def area_under_risk_coverage(wrong: Floats, right: Floats) -> Floats:
    """AURC of (draws, S) counts at rising confidences; lower is better; (draws,).

    The i-th most confident of T samples weighs (1/i + ... + 1/T) / T; the first t together weigh
    t (1 + H_T - H_t) / T, H being harmonic numbers.
    """
    size = (wrong + right)[:, ::-1]
    reached = np.cumsum(size, axis=1)
    # digamma(n + 1) is H_n less Euler's constant, which a difference of two does not see.
    harmonic = special.digamma(reached + 1)
    weight = reached * (1 + harmonic[:, -1:] - harmonic)
    mass = np.diff(weight, axis=1, prepend=0.0)
    risk = np.divide(wrong[:, ::-1], size, out=np.zeros_like(size), where=size > 0)
    result: Floats = (mass * risk).sum(axis=1) / reached[:, -1]
    return result


def calibration_error(rows: Floats, method: str) -> float:
    """The "ece" or "aurc" of (n, 2) rows, every distinct confidence being its own step."""
    ladder = Ladder(rows[:, 0])
    histogram = ladder.indicator(rows).sum(axis=1)[None, :]
    return float(ladder.error(histogram, method)[0])


def bootstrap_shifts(
    runs: list[Floats], codes: Labels | None, method: str, draws: int, seed: int
) -> Floats:
    """Bootstrap errors less the estimate, (draws, runs); every run takes the same samples.

    At most 1e8 / n draws, 1,000 at n = 100,000: these cost more than sums.
    """
    rng = np.random.default_rng([seed, 1])
    ladders = [Ladder(rows[:, 0], STEPS) for rows in runs]
    indicators = [ladder.indicator(rows) for ladder, rows in zip(ladders, runs, strict=True)]
    centres = [
        ladder.error(indicator.sum(axis=1)[None, :], method)
        for ladder, indicator in zip(ladders, indicators, strict=True)
    ]
    n, parts = len(runs[0]), []
    for size in _chunk_sizes(n, draws):
        units = n if codes is None else int(codes.max()) + 1
        counts = bootstrap_counts(units, size, rng)
        counts = (counts if codes is None else counts[:, codes]).T
        columns = [
            ladder.error((indicator @ counts).T, method) - centre
            for ladder, indicator, centre in zip(ladders, indicators, centres, strict=True)
        ]
        parts.append(np.stack(columns, axis=1))
    return np.vstack(parts)


def swapped_deltas(
    before: Floats, after: Floats, codes: Labels | None, method: str, draws: int, seed: int
) -> Floats:
    """(draws,) differences of error with the two runs' rows swapped at random."""
    rng = np.random.default_rng([seed, 2])
    ladder = Ladder(np.concatenate([before[:, 0], after[:, 0]]), STEPS)
    old, new = ladder.indicator(before), ladder.indicator(after)
    total, second, swap = (old + new).sum(axis=1), new.sum(axis=1), old - new
    n, parts = len(before), []
    for size in _chunk_sizes(n, draws):
        units = n if codes is None else int(codes.max()) + 1
        # One swap for each cluster: samples of a document change sides together.
        stay = rng.integers(0, 2, size=(units, size)).astype(np.float64)
        left = (swap @ (stay if codes is None else stay[codes])).T + second
        parts.append(ladder.error(left, method) - ladder.error(total - left, method))
    return np.concatenate(parts)


def _chunk_sizes(n: int, draws: int) -> list[int]:
    return chunk_sizes(n, min(draws, max(200, _MAX_CELLS // n)), _CHUNK_CELLS)
