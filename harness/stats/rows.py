"""Rows as the tests take them: checked once, then plain float arrays.

A row is what a metric keeps of one sample: k numbers. Its kind says what they are:

==============  ===  ===========================================================
kind            k    columns
==============  ===  ===========================================================
``accuracy``    1    0 or 1
``bounded``     1    a score with a fixed range (ROUGE, F1, Brier)
``corpus``      any  sufficient statistics, summed and then aggregated (BLEU)
``perplexity``  2    log-likelihood in nats, length in units (tokens, words, bytes)
``calibration`` 2    confidence in [0, 1], correct 0 or 1
``ratio``       1    a positive cost (seconds, kWh)
==============  ===  ===========================================================
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from steelyard.harness.errors import StatisticsError, did_you_mean

Floats = NDArray[np.float64]
Labels = NDArray[np.intp]
#: What samples belong together, a label a sample; None: every sample stands alone.
Clusters = Sequence[Hashable] | NDArray[np.generic] | None

#: Below it 1 - 2 alpha loses its digits; no resampling reaches so far into a tail.
SMALLEST_ALPHA = 1e-9

#: What is left of a log-likelihood of 0 when float32 has added it up.
_ROUNDING = 1e-3

#: kind -> number of columns; None: any.
WIDTHS: dict[str, int | None] = {
    "accuracy": 1,
    "bounded": 1,
    "corpus": None,
    "perplexity": 2,
    "calibration": 2,
    "ratio": 1,
}


def check_rows(rows: ArrayLike, kind: str, name: str = "rows") -> Floats:
    """Rows of one run as (n, k) floats.

    Raises ``StatisticsError`` for an unknown kind, no rows, a wrong k, values that are not finite
    and values that the kind does not allow.
    """
    if kind not in WIDTHS:
        raise StatisticsError(f"unknown kind '{kind}'", fix=did_you_mean(kind, WIDTHS))
    try:
        array = np.asarray(rows, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise StatisticsError(
            f"{name}: not a table of numbers", fix="give an array of shape (n, k)"
        ) from None
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2:
        raise StatisticsError(
            f"{name}: {array.ndim} dimensions", fix="give an array of shape (n, k)"
        )
    if array.shape[0] == 0 or array.shape[1] == 0:
        raise StatisticsError(f"{name}: no rows, so nothing to test")
    width = WIDTHS[kind]
    if width is not None and array.shape[1] != width:
        raise StatisticsError(f"{name}: {array.shape[1]} columns, but kind '{kind}' takes {width}")
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if bad.size:
        raise StatisticsError(
            f"{name}: {bad.size} of {len(array)} rows hold NaN or infinity, the first at {bad[0]}",
            fix="leave unscored samples out on both sides and count them",
        )
    _check_values(array, kind, name)
    return array


def _check_values(array: Floats, kind: str, name: str) -> None:
    if kind == "accuracy" and not np.isin(array, (0.0, 1.0)).all():
        raise StatisticsError(
            f"{name}: accuracy rows must be 0 or 1", fix="use kind 'bounded' for graded scores"
        )
    if kind == "perplexity" and ((array[:, 1] < 0).any() or array[:, 1].sum() <= 0):
        raise StatisticsError(f"{name}: the lengths must not be negative, nor all zero")
    if kind == "perplexity" and (positive := int((array[:, 0] > _ROUNDING).sum())):
        raise StatisticsError(
            f"{name}: {positive} of {len(array)} log-likelihoods are above 0, which none can be",
            fix="a loss is minus the log-likelihood: write it with a minus, in nats, summed over "
            "the text",
        )
    if kind == "ratio" and (array <= 0).any():
        raise StatisticsError(f"{name}: ratio rows must be above 0")
    if kind == "calibration":
        if (array[:, 0] < 0).any() or (array[:, 0] > 1).any():
            raise StatisticsError(f"{name}: the confidence must lie between 0 and 1")
        if not np.isin(array[:, 1], (0.0, 1.0)).all():
            raise StatisticsError(f"{name}: 'correct' (the second column) must be 0 or 1")


def check_pair(baseline: ArrayLike, candidate: ArrayLike, kind: str) -> tuple[Floats, Floats]:
    """Both runs' rows, aligned by sample: equal shapes or ``StatisticsError``."""
    before = check_rows(baseline, kind, "baseline")
    after = check_rows(candidate, kind, "candidate")
    if before.shape != after.shape:
        raise StatisticsError(
            f"baseline has {before.shape[0]} rows of {before.shape[1]} and candidate "
            f"{after.shape[0]} of {after.shape[1]}",
            fix="pair the samples first; a paired test needs the same samples on both sides",
        )
    return before, after


def check_clusters(clusters: Clusters, n: int) -> Labels | None:
    """Cluster labels as codes 0..G-1, or None where every sample stands alone."""
    if clusters is None:
        return None
    labels = clusters.tolist() if isinstance(clusters, np.ndarray) else list(clusters)
    if len(labels) != n:
        raise StatisticsError(f"{len(labels)} cluster labels for {n} rows")
    seen: dict[Hashable, int] = {}
    codes = np.fromiter((seen.setdefault(label, len(seen)) for label in labels), np.intp, n)
    return None if len(seen) == n else codes


def check_levels(alpha: float, margin: float = 0.0, draws: int = 10_000) -> None:
    """``StatisticsError`` unless SMALLEST_ALPHA <= alpha < 0.5, margin >= 0 and draws >= 100."""
    if not 0 < alpha < 0.5:
        raise StatisticsError("alpha must lie between 0 and 0.5", value=alpha)
    if alpha < SMALLEST_ALPHA:
        raise StatisticsError(f"alpha below {SMALLEST_ALPHA:g} cannot be told from 0", value=alpha)
    if not (np.isfinite(margin) and margin >= 0):
        raise StatisticsError("margin must be 0 or more, in the units of delta", value=margin)
    if draws < 100:
        raise StatisticsError("draws must be 100 or more", value=draws)


def sum_clusters(columns: Floats, codes: Labels | None) -> Floats:
    """Column sums of each cluster, (G, k); the columns themselves without clusters."""
    if codes is None:
        return columns
    # Unbuffered, row after row: ``sums[codes] += columns`` would count a repeated code once.
    sums = np.zeros((int(codes.max()) + 1, columns.shape[1]))
    np.add.at(sums, codes, columns)
    return sums
