"""The interval of a weighted sum of independent scores, from the interval of each."""

from __future__ import annotations

import math
from collections.abc import Sequence

from steelyard.harness.errors import StatisticsError
from steelyard.harness.stats.intervals import ScoreInterval


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
