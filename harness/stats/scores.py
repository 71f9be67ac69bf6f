"""Scores as functions of column sums, one for each kind of rows.

A kind turns rows into columns whose sums carry the score, and sums into a number that is compared:
the mean for ``bounded``, the mean logarithm for ``ratio``, log-likelihood per unit for
``perplexity``, the metric's own aggregate for ``corpus``. ``shown`` maps that number to the score
that people read (perplexity itself, the geometric mean).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from steelyard.harness.errors import StatisticsError
from steelyard.harness.stats.rows import Floats

Aggregate = Callable[[Floats], ArrayLike]
Score = Callable[[Floats], Floats]


@dataclass(frozen=True)
class SummedScore:
    """A score over summed columns: (m, k) sums -> (m,) numbers."""

    columns: Callable[[Floats], Floats]
    score: Score
    shown: Callable[[float], float] = float
    higher_is_better: bool | None = True
    """None: the caller says; True or False: what this kind means."""


def summed_score(kind: str, aggregate: Aggregate | None, rows: Floats) -> SummedScore:
    """The summed form of a kind; ``corpus`` needs its ``aggregate``. ``rows``: any real rows."""
    if kind == "corpus":
        if aggregate is None:
            raise StatisticsError(
                "kind 'corpus' needs aggregate=, from summed rows (k,) to the score"
            )
        return SummedScore(lambda rows: rows, vectorised(aggregate, rows))
    if aggregate is not None:
        raise StatisticsError(f"kind '{kind}' takes no aggregate=; it has its own")
    if kind == "perplexity":
        return SummedScore(lambda rows: rows, _ratio_of_sums, lambda value: float(np.exp(-value)))
    if kind == "ratio":
        return SummedScore(
            lambda rows: _with_ones(np.log(rows)),
            _ratio_of_sums,
            lambda value: float(np.exp(value)),
            higher_is_better=False,
        )
    return SummedScore(_with_ones, _ratio_of_sums)


def _with_ones(values: Floats) -> Floats:
    return np.hstack([values, np.ones((len(values), 1))])


def _ratio_of_sums(sums: Floats) -> Floats:
    # A draw without a single unit (only empty documents) has no score; it counts as no change.
    lengths = sums[:, 1]
    return np.divide(sums[:, 0], lengths, out=np.zeros(len(sums)), where=lengths > 0)


def vectorised(aggregate: Aggregate, rows: Floats) -> Score:
    """``aggregate`` over (m, k) at once where it can, else one line of sums at a time.

    Accepts an aggregate of one summed row (k,), of many (m, k), or of rows that it sums itself
    ((1, k) is then its input). Which it is shows on the sums of a quarter, half and all of
    ``rows``.
    """

    def of_line(sums: Floats) -> float:
        try:
            value = np.asarray(aggregate(sums), dtype=np.float64)
        except (IndexError, TypeError, ValueError):
            value = np.asarray(aggregate(sums[None, :]), dtype=np.float64)
        if value.size != 1:
            raise StatisticsError(f"aggregate= gave {value.size} numbers for one line of sums")
        return float(value.reshape(()))

    def each(sums: Floats) -> Floats:
        return np.array([of_line(line) for line in sums])

    def at_once(sums: Floats) -> Floats:
        return np.asarray(aggregate(sums), dtype=np.float64)

    probe = np.vstack([rows[: max(1, len(rows) * part // 4)].sum(axis=0) for part in (1, 2, 4)])
    try:
        together = at_once(probe)
        if together.shape == (3,) and np.allclose(together, each(probe), equal_nan=True):
            return at_once
    except Exception:  # the aggregate is the caller's: whatever it raises, it is not vectorised
        return each
    return each
