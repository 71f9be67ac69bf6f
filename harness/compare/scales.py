"""Whether two columns of one name are on one scale: 0.62 and 62 are the same share.

A metric that is computed here has one scale. What another tool wrote into a table has the scale
that its user gave it, and a share of 50% written as 50 would be 49 points better than one of 0.62.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

#: Beyond this no score from 0 to 1 was merely counted in something coarse.
_PER_CENT = 20.0
#: A mean that grew so many times while leaving its own range changed its unit.
_TIMES = 10.0
#: From so many rows on, a share of them says something of the metric.
_FEWEST_ROWS = 20
#: Of rows, at the end of a scale of marks; and how far beyond it another scale reaches.
_AT_THE_END = 0.2
_BEYOND = 1.5


def other_scale(baseline: Values, candidate: Values, *, right_or_wrong: bool) -> str | None:
    """How the rows (n, 1) of two runs differ in scale, in words; None where they may be alike.

    ``right_or_wrong`` says that one side is made of 0 and 1 alone, as an accuracy is: then no row
    of the other lies outside of 0 to 1. Where both are graded, one side must look like a share and
    the other not, or like marks whose highest the other exceeds.
    """
    if not baseline.size or not candidate.size or baseline.shape[1:] != (1,):
        return None
    outside = [rows.min() < 0 or rows.max() > 1 for rows in (baseline, candidate)]
    differ = (right_or_wrong and outside[0] != outside[1]) or any(
        _is_share_of(one, other) or _is_exceeded(one, other)
        for one, other in ((baseline, candidate), (candidate, baseline))
    )
    if not differ:
        return None
    ends = [f"{rows.min():g} to {rows.max():g}" for rows in (baseline, candidate)]
    return f"another scale: {ends[0]} in the baseline, {ends[1]} in the candidate"


def _is_share_of(share: Values, other: Values) -> bool:
    """Whether one is a share and the other per cent, marks, or a logarithm."""
    if share.min() < 0 or not 0 < share.max() <= 1:
        return False
    return any(_signs_of_another_unit(share, other))


def _signs_of_another_unit(share: Values, other: Values) -> Iterator[bool]:
    graded = bool(((share > 0) & (share < 1)).any())
    enough = len(other) >= _FEWEST_ROWS
    # A logarithm of a share, or a score from -1 to 1.
    yield graded and enough and float((other < 0).mean()) > 0.1
    if other.max() <= 1 or other.min() < 0:
        return
    yield other.max() > _PER_CENT
    yield other.mean() >= _TIMES * share.mean()
    yield graded and other.min() >= 1
    yield graded and enough and other.mean() > 1


def _is_exceeded(marks: Values, other: Values) -> bool:
    """Whether many rows stand at the end of a scale of marks that the other goes far beyond.

    At its end marks heap up; a count has fewer and fewer rows the higher it goes.
    """
    values, counts = np.unique(marks, return_counts=True)
    if len(marks) < _FEWEST_ROWS or not 2 < len(values) <= len(marks) / 4 or values[0] < 0:
        return False
    heaped = counts[-1] >= _AT_THE_END * len(marks) and counts[-1] > counts[-2]
    return bool(heaped and other.max() >= _BEYOND * values[-1])
