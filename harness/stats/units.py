"""Rows as the units of a mean: what each adds to a score or a change, and how far it could go.

How far an unseen unit may lie from the rest is known for bounded rows. Where it is not, it is a
stated convention: a document may lose (or gain) as many nats a unit as the baseline has, a corpus
all of its score, a cost a tenth.
"""

from __future__ import annotations

import numpy as np

from steelyard.harness.stats.bootstrap import influences
from steelyard.harness.stats.bounds import Units
from steelyard.harness.stats.rows import Floats
from steelyard.harness.stats.scores import Score

COST_FACTOR = 0.1
"""Logarithm of the factor by which an unseen cost may differ from its baseline's."""
_NO_ROOM = 1e-12


def range_of(rows: Floats) -> tuple[float, float]:
    """(least, most) that bounded rows may be: 0 to 1, or as far as they reach."""
    return min(0.0, float(rows.min())), max(1.0, float(rows.max()))


def paired_units(
    kind: str, old: Floats, new: Floats, delta_of: Score, sign: float, span: float
) -> Units:
    """Units of a paired change; ``old`` and ``new`` are (n, k) columns, summed within clusters.

    ``delta_of`` is the change of (m, 2k) sums, ``span`` the width of a bounded row's range.
    """
    both = np.hstack([old, new])
    delta = float(delta_of(both.sum(axis=0)[None, :])[0])
    if kind == "corpus":
        room = max(span, _NO_ROOM)
        return _leaving_one_out(both, delta_of, room, room)
    (before, weight_before), (after, weight_after) = (_of_ratio(rows) for rows in (old, new))
    deviations = sign * (after - before) * len(old)
    below, above = (span + delta, span - delta) if kind == "bounded" else (span, span)
    shares = (weight_before + weight_after) / 2
    return Units(deviations, shares, max(below, _NO_ROOM), max(above, _NO_ROOM))


def single_units(kind: str, columns: Floats, score: Score, ends: tuple[float, float]) -> Units:
    """Units of one run's score; ``ends`` are the least and the most that it may be."""
    value = float(score(columns.sum(axis=0)[None, :])[0])
    below, above = (max(abs(end - value), _NO_ROOM) for end in ends)
    if kind == "corpus":
        return _leaving_one_out(columns, score, below, above)
    effects, shares = _of_ratio(columns)
    return Units(effects * len(columns), shares, below, above)


def _of_ratio(columns: Floats) -> tuple[Floats, Floats]:
    """(effects, shares) of each row on the first column's sum over the second's; (n,) each."""
    total = float(columns[:, 1].sum())
    ratio = float(columns[:, 0].sum()) / total
    return (columns[:, 0] - ratio * columns[:, 1]) / total, columns[:, 1] / total


def _leaving_one_out(columns: Floats, score: Score, below: float, above: float) -> Units:
    """Units of any score of sums: what leaving each of them out changes (the jackknife).

    Unlike the first-order effect it grows where a unit holds much of the whole, as 1 / (1 - share)
    does in a ratio of sums, so no share is taken off again.
    """
    n = len(columns)
    total = columns.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        without = np.asarray(score(total[None, :] - columns), dtype=np.float64)
    if np.isfinite(without).all():
        deviations = (n - 1) * (without.mean() - without)
    else:
        deviations = n * influences(columns, score)
    return Units(deviations, np.full(n, 1 / n), below, above)
