"""Is the candidate better, not worse, or worse than the baseline, on the same samples?

One call for every kind of rows; see ``paired_test``. Sources of the formulas stand in the modules
that hold them: ``proportions`` (0/1), ``bootstrap``, ``randomisation``, ``calibration``.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from steelyard.harness.errors import StatisticsError, did_you_mean
from steelyard.harness.stats import proportions
from steelyard.harness.stats.bootstrap import (
    acceleration,
    basic_interval,
    bca_interval,
    deviating,
    few,
    few_interval,
    influences,
    largest_change,
    shift_p_value,
)
from steelyard.harness.stats.calibration import (
    CALIBRATION_METHODS,
    bootstrap_shifts,
    calibration_error,
    swapped_deltas,
)
from steelyard.harness.stats.randomisation import exceedance_p_value, randomised_deltas
from steelyard.harness.stats.resampling import bootstrap_sums, sign_flip_sums
from steelyard.harness.stats.rows import (
    Floats,
    Labels,
    check_clusters,
    check_levels,
    check_pair,
    sum_clusters,
)
from steelyard.harness.stats.scores import Aggregate, summed_score

Verdict = Literal["better", "not_worse", "worse", "inconclusive"]
Interval = tuple[float, float]

POWER = 0.8
"""The power at which a minimum detectable effect is quoted."""


@dataclass(frozen=True)
class PairedResult:
    """A paired comparison; every number in the units of ``delta``, positive is better."""

    delta: float
    low: float | None
    """Lower end of the two-sided 95% interval; None where fewer than two units carry it."""
    high: float | None
    p_value: float
    """Two-sided, for delta = 0, whatever the margin."""
    verdict: Verdict
    mde: float | None
    """Minimum detectable effect: the true change that a one-sided test at alpha finds in 80%."""
    n: int
    """Paired samples."""
    method: str


@dataclass(frozen=True)
class _Inference:
    delta: float
    p_value: float
    intervals: tuple[Interval, Interval] | None
    """At 1 - 2 alpha, which decides, and at 95%, which is shown."""
    method: str


def paired_test(
    baseline: ArrayLike,
    candidate: ArrayLike,
    *,
    kind: str,
    clusters: Sequence[Hashable] | NDArray[Any] | None = None,
    margin: float = 0.0,
    alpha: float = 0.05,
    method: str | None = None,
    draws: int = 10_000,
    seed: int = 0,
    aggregate: Aggregate | None = None,
    higher_is_better: bool | None = None,
) -> PairedResult:
    """Compare two runs on the same samples; rows of shape (n, k), aligned by sample.

    ``delta`` is candidate minus baseline, turned so that positive is better:

    * ``accuracy``, ``bounded``: change of the mean, in the score's units;
    * ``corpus``: change of ``aggregate(summed rows)``; it may take (m, k) sums at once;
    * ``perplexity``: mean log-likelihood gained per unit, in nats: the logarithm of baseline
      perplexity over candidate perplexity, so a margin of 0.02 allows perplexity to rise by 2%;
    * ``calibration``: fall of the calibration error (``method`` "ece", "aurc" or "brier");
    * ``ratio``: mean logarithm of baseline over candidate cost; a margin of log(1.2) allows 20%.

    ``higher_is_better`` is for ``accuracy``, ``bounded``, ``corpus`` (default True) and ``ratio``
    (default False: a cost); perplexity and calibration errors have their own direction.
    ``clusters`` labels samples that share a document; whole clusters are resampled.

    The verdict reads the two-sided 1 - 2 alpha interval, so ``alpha`` is one-sided per side:
    ``better`` above 0, ``worse`` below -margin, ``not_worse`` above -margin, else
    ``inconclusive``. ``low``, ``high`` are the two-sided 95% interval, for display.
    ``method="bootstrap"`` replaces the randomisation p-value by sacreBLEU's bootstrap one.

    Raises ``StatisticsError`` for empty, misaligned, non-finite or impossible rows, and for
    unknown names.
    """
    check_levels(alpha, margin, draws)
    before, after = check_pair(baseline, candidate, kind)
    codes = check_clusters(clusters, len(before))
    _check_method(kind, method)
    levels = (1 - 2 * alpha, 0.95)
    if kind == "accuracy":
        found = _accuracy(before, after, codes, levels, draws, seed, higher_is_better)
    elif kind == "calibration" and method != "brier":
        found = _calibration(before, after, codes, levels, draws, seed, method or "ece")
    else:
        if kind == "calibration":
            kind, higher_is_better, method = "bounded", False, None
            before, after = _brier(before), _brier(after)
        found = _summed(
            before, after, codes, levels, draws, seed, kind, aggregate, higher_is_better, method
        )
    low, high = found.intervals[1] if found.intervals else (None, None)
    return PairedResult(
        delta=found.delta,
        low=low,
        high=high,
        p_value=found.p_value,
        verdict=_decide(found, margin),
        mde=_detectable(low, high, alpha),
        n=len(before),
        method=found.method,
    )


def _check_method(kind: str, method: str | None) -> None:
    allowed = {
        "accuracy": ("mcnemar",),
        "calibration": CALIBRATION_METHODS,
    }.get(kind, ("randomisation", "bootstrap"))
    if method is not None and method not in allowed:
        raise StatisticsError(
            f"kind '{kind}' has no method '{method}'", fix=did_you_mean(method, allowed)
        )


def _decide(found: _Inference, margin: float) -> Verdict:
    if found.intervals is None:
        return "inconclusive"
    low, high = found.intervals[0]
    if low > 0:
        return "better"
    if high < -margin:
        return "worse"
    return "not_worse" if low > -margin else "inconclusive"


def _detectable(low: float | None, high: float | None, alpha: float) -> float | None:
    if low is None or high is None:
        return None
    standard_error = (high - low) / (2 * special.ndtri(0.975))
    return float((special.ndtri(1 - alpha) + special.ndtri(POWER)) * standard_error)


def _accuracy(
    before: Floats,
    after: Floats,
    codes: Labels | None,
    levels: tuple[float, float],
    draws: int,
    seed: int,
    higher_is_better: bool | None,
) -> _Inference:
    if higher_is_better is False:
        before, after = after, before
    change = after - before
    delta = float(change.mean())
    if codes is not None and codes.max() == 0:
        return _Inference(delta, 1.0, None, "one cluster: no interval")
    correction = proportions.DECISION_CORRECTION
    decisive = proportions.paired_interval(before, after, codes, levels[0], correction)
    shown = proportions.paired_interval(before, after, codes, levels[1])
    if codes is None:
        p_value = proportions.mcnemar_p_value(*proportions.flips(before, after))
        return _Inference(delta, p_value, (decisive, shown), "exact McNemar; Tango score interval")
    sums = sum_clusters(change, codes)
    null = sign_flip_sums(sums, draws, seed, sums[:, 0])[:, 0]
    p_value = exceedance_p_value(null, float(sums.sum()))
    return _Inference(
        delta, p_value, (decisive, shown), "cluster sign flips; clustered score interval"
    )


def _summed(
    before: Floats,
    after: Floats,
    codes: Labels | None,
    levels: tuple[float, float],
    draws: int,
    seed: int,
    kind: str,
    aggregate: Aggregate | None,
    higher_is_better: bool | None,
    method: str | None,
) -> _Inference:
    form = summed_score(kind, aggregate, before)
    upward = form.higher_is_better if higher_is_better is None else higher_is_better
    sign = 1.0 if upward or kind == "perplexity" else -1.0
    old, new = (sum_clusters(form.columns(rows), codes) for rows in (before, after))
    n, k = old.shape

    def delta_of(sums: Floats) -> Floats:
        result: Floats = sign * (form.score(sums[:, k:]) - form.score(sums[:, :k]))
        return result

    both = np.hstack([old, new])
    delta = float(delta_of(both.sum(axis=0)[None, :])[0])
    if n < 2:
        return _Inference(delta, 1.0, None, "one unit: no interval")
    identical = np.array_equal(old, new)
    scale = None
    if kind == "bounded":
        scale = largest_change(np.vstack([before, after]), old)
    elif kind == "corpus":
        scale = abs(float(form.score(old.sum(axis=0)[None, :])[0]))
    elif few(n, levels[0]) and not identical:
        return _Inference(delta, 1.0, None, f"{n} units: no interval")
    if scale is not None and identical:
        # Log-likelihoods that agree to the last bit, in contrast, are one model's.
        unchanged = [few_interval(0, n, scale, 0.0, level) for level in levels]
        return _Inference(delta, 1.0, (unchanged[0], unchanged[1]), "no sample changed")
    effects = influences(both, delta_of)
    replicates = delta_of(bootstrap_sums(both, draws, seed, effects))
    skew = acceleration(effects)
    decisive, shown = (bca_interval(replicates, delta, skew, n, level) for level in levels)
    if scale is not None:
        changed = deviating(new - old)
        decisive, shown = (
            _reaching(interval, changed, n, scale, delta, level)
            for interval, level in zip((decisive, shown), levels, strict=True)
        )
    units = "" if codes is None else "cluster "
    if method == "bootstrap":
        p_value = shift_p_value(replicates, delta)
        return _Inference(delta, p_value, (decisive, shown), f"{units}bootstrap p; BCa interval")
    null = randomised_deltas(old, new, form.score, draws, seed, effects)
    p_value = exceedance_p_value(null, delta)
    return _Inference(delta, p_value, (decisive, shown), f"{units}randomisation; BCa interval")


def _reaching(
    interval: Interval, changed: int, n: int, scale: float, delta: float, level: float
) -> Interval:
    """The interval, widened where few units changed: a bootstrap of them shows next to nothing."""
    if not few(changed, level):
        return interval
    low, high = few_interval(changed, n, scale, delta, level)
    return min(interval[0], low), max(interval[1], high)


def _brier(rows: Floats) -> Floats:
    return np.asarray((rows[:, :1] - rows[:, 1:]) ** 2)


def _calibration(
    before: Floats,
    after: Floats,
    codes: Labels | None,
    levels: tuple[float, float],
    draws: int,
    seed: int,
    method: str,
) -> _Inference:
    delta = calibration_error(before, method) - calibration_error(after, method)
    units = len(before) if codes is None else int(codes.max()) + 1
    if units < 2:
        return _Inference(delta, 1.0, None, "one unit: no interval")
    shifts = bootstrap_shifts([before, after], codes, method, draws, seed) @ [1.0, -1.0]
    decisive, shown = (basic_interval(shifts, delta, level) for level in levels)
    p_value = exceedance_p_value(swapped_deltas(before, after, codes, method, draws, seed), delta)
    return _Inference(delta, p_value, (decisive, shown), f"{method} randomisation; basic bootstrap")
