"""The interval of a weighted sum of independent scores: of shares, and of anything else."""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy import special

from steelyard.harness.errors import StatisticsError
from steelyard.harness.stats.intervals import ScoreInterval

#: Samples at the group's own share that are added to each of its parts before it is asked how much
#: it varies: a part of three right answers does not prove that it never errs.
_PRIOR = 2.0


def combined_interval(parts: Sequence[ScoreInterval], weights: Sequence[float]) -> ScoreInterval:
    """``sum(weights * values)`` with an interval of the parts' own confidence.

    The squared distances from each value to its limit, times its weight, add up on either side
    (MOVER: Zou, Huang and Zhang 2009, Comput. Stat. Data Anal. 53:1080-1085; for the difference of
    two proportions it is Newcombe's method 10, Stat. Med. 1998, 17:873-890). The parts are strata:
    what separates them is no error. Where no part varies (all answers right in one, all wrong in
    the other) their own limits keep the interval open, which a standard error of 0 does not. An end
    is None where a part has none.

    Raises ``StatisticsError`` for no parts, or weights that are not one for each.
    """
    if not parts or len(parts) != len(weights):
        raise StatisticsError(f"{len(parts)} scores and {len(weights)} weights")
    value = math.fsum(w * part.value for w, part in zip(weights, parts, strict=True))
    below: list[float] = []
    above: list[float] = []
    for weight, part in zip(weights, parts, strict=True):
        if part.low is None or part.high is None:
            return ScoreInterval(value, None, None)
        # A negative weight turns the interval round.
        ends = sorted((weight * (part.low - part.value), weight * (part.high - part.value)))
        below.append(min(ends[0], 0.0))
        above.append(max(ends[1], 0.0))
    return ScoreInterval(value, value - math.hypot(*below), value + math.hypot(*above))


def combined_shares(
    parts: Sequence[ScoreInterval],
    sizes: Sequence[int],
    weights: Sequence[float],
    level: float = 0.95,
) -> ScoreInterval:
    """``sum(weights * shares)`` with Wilson's interval on the effective number of samples.

    The variance is that of a stratified sample, ``sum(w^2 p (1 - p) / n)`` (Cochran 1977, Sampling
    Techniques, section 5.9); the effective number is how many samples of the combined share vary as
    little. Each part's own share is drawn towards the combined one by two samples, so that small
    parts without a single error do not count as certain. Adding up Wilson limits is too short
    where there are many small parts: 57 parts of four samples covered 90%.

    ``sizes`` are samples; a part whose interval is wider than theirs (clusters) counts as the fewer
    samples that have such a Wilson interval.

    Raises ``StatisticsError`` for no parts, or sizes and weights that are not one for each.
    """
    if not parts or not len(parts) == len(sizes) == len(weights):
        raise StatisticsError(f"{len(parts)} scores, {len(sizes)} sizes, {len(weights)} weights")
    share = math.fsum(w * part.value for w, part in zip(weights, parts, strict=True))
    if any(part.low is None or part.high is None for part in parts):
        return ScoreInterval(share, None, None)
    z = float(special.ndtri((1 + level) / 2))
    counts = [_wilson_size(part, n, z) for part, n in zip(parts, sizes, strict=True)]
    squares = [w * w / n for w, n in zip(weights, counts, strict=True)]
    variance = 0.0
    for part, n, square in zip(parts, counts, squares, strict=True):
        drawn = (n * part.value + _PRIOR * share) / (n + _PRIOR)
        # Unbiased but for the prior, as n / (n - 1) is without one.
        variance += square * drawn * (1 - drawn) * (n + _PRIOR) / (n + _PRIOR - 1)
    spread = share * (1 - share)
    effective = spread / variance if variance > 0 and spread > 0 else 1 / math.fsum(squares)
    centre, half = _wilson(share, effective, z)
    return ScoreInterval(share, max(0.0, centre - half), min(1.0, centre + half))


def _wilson(share: float, n: float, z: float) -> tuple[float, float]:
    """Centre and half the width of Wilson's interval (1927, JASA 22:209-212)."""
    total = n + z * z
    centre = (n * share + z * z / 2) / total
    return centre, z / total * math.sqrt(n * share * (1 - share) + z * z / 4)


def _wilson_size(part: ScoreInterval, n: int, z: float) -> float:
    """How many samples have a Wilson interval as wide as the part's; at most ``n``."""
    assert part.low is not None and part.high is not None
    half = (part.high - part.low) / 2
    few, many = 1e-3, float(n)
    if _wilson(part.value, many, z)[1] >= half * (1 - 1e-9):
        return many
    for _ in range(60):
        middle = math.sqrt(few * many)
        if _wilson(part.value, middle, z)[1] > half:
            few = middle
        else:
            many = middle
    return many
