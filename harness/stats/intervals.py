"""One run's score with its interval, and percentiles with theirs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from steelyard.harness.errors import StatisticsError, did_you_mean
from steelyard.harness.stats import calibration
from steelyard.harness.stats.bootstrap import (
    acceleration,
    basic_interval,
    bca_interval,
    few,
    influences,
)
from steelyard.harness.stats.bounds import MeanBounds
from steelyard.harness.stats.proportions import share_interval
from steelyard.harness.stats.resampling import bootstrap_sums
from steelyard.harness.stats.rows import (
    Clusters,
    Floats,
    Labels,
    check_clusters,
    check_levels,
    check_rows,
    sum_clusters,
)
from steelyard.harness.stats.scores import Aggregate, summed_score
from steelyard.harness.stats.units import COST_FACTOR, range_of, single_units


class ScoreInterval(NamedTuple):
    """A value with its two-sided interval; the ends are None where the data carry none."""

    value: float
    low: float | None
    high: float | None


def score_interval(
    rows: ArrayLike,
    *,
    kind: str,
    aggregate: Aggregate | None = None,
    clusters: Clusters = None,
    alpha: float = 0.05,
    method: str | None = None,
    draws: int = 10_000,
    seed: int = 0,
) -> ScoreInterval:
    """The score of (n, k) rows with its two-sided 1 - alpha interval.

    Wilson for ``accuracy`` (on the effective n where clustered). For the mean, the geometric mean
    (``ratio``) and the perplexity per unit the guarded t interval of ``bounds``, over samples or
    whole clusters; for the aggregate the wider of it and BCa; a bootstrap for the calibration error
    (``method`` "ece", "aurc" or "brier").

    Raises ``StatisticsError`` as ``paired_test`` does.
    """
    check_levels(alpha, 0.0, draws)
    checked = check_rows(rows, kind)
    codes = check_clusters(clusters, len(checked))
    allowed = calibration.CALIBRATION_METHODS if kind == "calibration" else ()
    if method is not None and method not in allowed:
        raise StatisticsError(
            f"kind '{kind}' has no method '{method}'", fix=did_you_mean(method, allowed)
        )
    if kind == "accuracy":
        return _share(checked, codes, alpha)
    if kind == "calibration":
        if method != "brier":
            return _calibration(checked, codes, method or "ece", alpha, draws, seed)
        kind, checked = "bounded", (checked[:, :1] - checked[:, 1:]) ** 2
    form = summed_score(kind, aggregate, checked)
    columns = sum_clusters(form.columns(checked), codes)
    value = float(form.score(columns.sum(axis=0)[None, :])[0])
    n, level = len(columns), 1 - alpha
    if n < 2 or (kind != "bounded" and few(n, level)):
        return ScoreInterval(
            form.shown(value), *(range_of(checked) if kind == "bounded" else (None, None))
        )
    least, most = _ends(kind, checked, value)
    units = single_units(kind, columns, form.score, (least, most))
    below, above = MeanBounds.of(units).interval(level)
    low, high = value + below, value + above
    if kind == "corpus":
        # A corpus score is no mean: where it bends, the bootstrap sees it.
        effects = influences(columns, form.score)
        sums = bootstrap_sums(columns, draws, seed, effects)
        bent = bca_interval(form.score(sums), value, acceleration(effects), n, level)
        low, high = min(low, bent[0]), max(high, bent[1])
    if kind in ("bounded", "perplexity"):
        low, high = max(low, least) if kind == "bounded" else low, min(high, most)
    low, high = sorted(form.shown(end) for end in (low, high))
    return ScoreInterval(form.shown(value), low, high)


def _ends(kind: str, rows: Floats, value: float) -> tuple[float, float]:
    """The least and the most that an unseen unit may be: by its range, or by convention."""
    if kind == "bounded":
        return range_of(rows)
    if kind == "ratio":
        return value - COST_FACTOR, value + COST_FACTOR
    # Nats a unit end at 0, which is certainty; a corpus score at 0 as well.
    return value - abs(value), value + abs(value)


def _share(rows: Floats, codes: Labels | None, alpha: float) -> ScoreInterval:
    value = float(rows.mean())
    if codes is not None and codes.max() == 0:
        return ScoreInterval(value, None, None)
    return ScoreInterval(value, *share_interval(rows[:, 0], codes, 1 - alpha))


def _calibration(
    rows: Floats, codes: Labels | None, method: str, alpha: float, draws: int, seed: int
) -> ScoreInterval:
    value = calibration.calibration_error(rows, method)
    units = len(rows) if codes is None else int(codes.max()) + 1
    if units < 2:
        return ScoreInterval(value, None, None)
    shifts = calibration.bootstrap_shifts([rows], codes, method, draws, seed)[:, 0]
    low, high = basic_interval(shifts, value, 1 - alpha)
    return ScoreInterval(value, max(0.0, low), min(1.0, high))


def percentile_interval(values: ArrayLike, percent: float, *, alpha: float = 0.05) -> ScoreInterval:
    """A percentile (latency p50, p95) with its order-statistic interval.

    The ends are two of the values: those whose ranks a binomial count of values below the true
    percentile leaves outside in at most alpha/2 a side (Hahn and Meeker 1991, section 5.2);
    distribution-free. An end is None where n is too small to have one.

    Raises ``StatisticsError`` for no values, NaN, or a percent outside 0..100.
    """
    check_levels(alpha)
    ordered = np.sort(check_rows(values, "bounded", "values")[:, 0])
    if not 0 < percent < 100:
        raise StatisticsError("percent must lie between 0 and 100", value=percent)
    n, share = len(ordered), percent / 100
    # Ranks count from 1: P(X_(r) > quantile) = P(Binomial(n, share) < r).
    lower = int(stats.binom.ppf(alpha / 2, n, share))
    upper = int(stats.binom.ppf(1 - alpha / 2, n, share)) + 1
    low = float(ordered[lower - 1]) if lower >= 1 else None
    high = float(ordered[upper - 1]) if upper <= n else None
    return ScoreInterval(float(np.quantile(ordered, share)), low, high)
