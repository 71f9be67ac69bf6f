"""Whether two imported columns of one name are on one scale: 0.62 and 62 are the same share.

A metric that is computed here has one scale. What another tool wrote into a table has the scale
that its user gave it, and a share of 50% written as 50 would be 49 points better than one of 0.62.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Beyond this no score from 0 to 1 was merely counted in something coarse.
_PER_CENT = 20.0
#: A mean that grew so many times while leaving its own range changed its unit.
_TIMES = 10.0


def other_scale(baseline: NDArray[np.float64], candidate: NDArray[np.float64]) -> str | None:
    """How the rows (n, 1) of two runs differ in scale, in words; None where they may be alike.

    One side must lie within 0 to 1 and the other leave it: for per cent (up to 100, and far beyond
    1), or for marks of which even the lowest is at least 1.
    """
    if not baseline.size or not candidate.size or baseline.shape[1:] != (1,):
        return None
    for share, other in ((baseline, candidate), (candidate, baseline)):
        if not (share.min() >= 0 and 0 < share.max() <= 1 < other.max() and other.min() >= 0):
            continue
        larger = other.mean() >= _TIMES * share.mean()
        per_cent = other.max() <= 100 and (other.max() > _PER_CENT or larger)
        graded = bool(((share > 0) & (share < 1)).any())
        if per_cent or (graded and other.min() >= 1):
            ends = [f"{rows.min():g} to {rows.max():g}" for rows in (baseline, candidate)]
            return f"another scale: {ends[0]} in the baseline, {ends[1]} in the candidate"
    return None
