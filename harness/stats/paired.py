"""Is the candidate better, not worse, or worse than the baseline, on the same samples?

One call for every kind of rows; see ``paired_test``. Sources of the formulas stand in the modules
that hold them: ``proportions`` (0/1), ``bootstrap``, ``randomisation``, ``calibration``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
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
    Clusters,
    Floats,
    Labels,
    check_clusters,
    check_levels,
    check_pair,
    sum_clusters,
)
from steelyard.harness.stats.scores import Aggregate, Score, SummedScore, summed_score

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
class _Question:
    """Two runs' rows, checked and aligned, and how they are to be compared."""

    before: Floats
    after: Floats
    codes: Labels | None
    """Clusters 0..G-1; None where every sample stands alone."""
    kind: str
    method: str | None
    aggregate: Aggregate | None
    higher_is_better: bool | None
    levels: tuple[float, float]
    """Confidence of the interval that decides, and of the one that is shown."""
    draws: int
    seed: int


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
    clusters: Clusters = None,
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
    question = _Question(
        before,
        after,
        codes,
        kind,
        method,
        aggregate,
        higher_is_better,
        levels=(1 - 2 * alpha, 0.95),
        draws=draws,
        seed=seed,
    )
    inference = _inferred(question)
    low, high = inference.intervals[1] if inference.intervals else (None, None)
    return PairedResult(
        delta=inference.delta,
        low=low,
        high=high,
        p_value=inference.p_value,
        verdict=_decide(inference, margin),
        mde=_detectable(low, high, alpha),
        n=len(before),
        method=inference.method,
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


def _inferred(question: _Question) -> _Inference:
    if question.kind == "accuracy":
        return _accuracy(question)
    if question.kind != "calibration":
        return _summed(question)
    if question.method != "brier":
        return _calibration(question, question.method or "ece")
    # A Brier score is the mean of the samples' own squared errors.
    before, after = _brier(question.before), _brier(question.after)
    return _summed(
        replace(
            question,
            before=before,
            after=after,
            kind="bounded",
            method=None,
            higher_is_better=False,
        )
    )


def _decide(inference: _Inference, margin: float) -> Verdict:
    if inference.intervals is None:
        return "inconclusive"
    low, high = inference.intervals[0]
    if low > 0:
        return "better"
    if high < -margin:
        return "worse"
    return "not_worse" if low > -margin else "inconclusive"


def _detectable(low: float | None, high: float | None, alpha: float) -> float | None:
    if low is None or high is None:
        return None
    # From the interval and not from the rows, so that clusters and tails count in it as well.
    standard_error = (high - low) / (2 * special.ndtri(0.975))
    return float((special.ndtri(1 - alpha) + special.ndtri(POWER)) * standard_error)


def _accuracy(question: _Question) -> _Inference:
    before, after, codes = question.before, question.after, question.codes
    if question.higher_is_better is False:
        before, after = after, before
    change = after - before
    delta = float(change.mean())
    if codes is not None and codes.max() == 0:
        return _Inference(delta, 1.0, None, "one cluster: no interval")
    correction = proportions.DECISION_CORRECTION
    decisive = proportions.paired_interval(before, after, codes, question.levels[0], correction)
    shown = proportions.paired_interval(before, after, codes, question.levels[1])
    if codes is None:
        p_value = proportions.mcnemar_p_value(*proportions.flips(before, after))
        return _Inference(delta, p_value, (decisive, shown), "exact McNemar; Tango score interval")
    sums = sum_clusters(change, codes)
    null = sign_flip_sums(sums, question.draws, question.seed, sums[:, 0])[:, 0]
    p_value = exceedance_p_value(null, float(sums.sum()))
    return _Inference(
        delta, p_value, (decisive, shown), "cluster sign flips; clustered score interval"
    )


def _summed(question: _Question) -> _Inference:
    kind, levels = question.kind, question.levels
    form = summed_score(kind, question.aggregate, question.before)
    old, new = (
        sum_clusters(form.columns(rows), question.codes)
        for rows in (question.before, question.after)
    )
    delta_of = _delta_of(question, form, old.shape[1])
    # A row of both runs is drawn together: what a sample has in common in both cancels.
    both = np.hstack([old, new])
    delta = float(delta_of(both.sum(axis=0)[None, :])[0])
    n = len(old)
    if n < 2:
        return _Inference(delta, 1.0, None, "one unit: no interval")
    identical = np.array_equal(old, new)
    scale = _largest_change_by_kind(question, form, old)
    if scale is None and few(n, levels[0]) and not identical:
        return _Inference(delta, 1.0, None, f"{n} units: no interval")
    if scale is not None and identical:
        # Log-likelihoods that agree to the last bit, in contrast, are one model's.
        unchanged = [few_interval(0, n, scale, 0.0, level) for level in levels]
        return _Inference(delta, 1.0, (unchanged[0], unchanged[1]), "no sample changed")
    effects = influences(both, delta_of)
    replicates = delta_of(bootstrap_sums(both, question.draws, question.seed, effects))
    skew = acceleration(effects)
    decisive, shown = (bca_interval(replicates, delta, skew, n, level) for level in levels)
    if scale is not None:
        changed = deviating(new - old)
        decisive, shown = (
            _reaching(interval, changed, n, scale, delta, level)
            for interval, level in zip((decisive, shown), levels, strict=True)
        )
    units = "" if question.codes is None else "cluster "
    if question.method == "bootstrap":
        p_value = shift_p_value(replicates, delta)
        return _Inference(delta, p_value, (decisive, shown), f"{units}bootstrap p; BCa interval")
    null = randomised_deltas(old, new, form.score, question.draws, question.seed, effects)
    p_value = exceedance_p_value(null, delta)
    return _Inference(delta, p_value, (decisive, shown), f"{units}randomisation; BCa interval")


def _delta_of(question: _Question, form: SummedScore, k: int) -> Score:
    """(m, 2k) sums of both runs -> (m,) changes of the score, positive is better."""
    upward = question.higher_is_better
    if upward is None:
        upward = form.higher_is_better
    # Perplexity is compared by its log-likelihood, whose direction is its own.
    sign = 1.0 if upward or question.kind == "perplexity" else -1.0

    def delta_of(sums: Floats) -> Floats:
        result: Floats = sign * (form.score(sums[:, k:]) - form.score(sums[:, :k]))
        return result

    return delta_of


def _largest_change_by_kind(question: _Question, form: SummedScore, old: Floats) -> float | None:
    """The most that one unit may change the score by its kind; None: there is no such bound."""
    if question.kind == "bounded":
        return largest_change(np.vstack([question.before, question.after]), old)
    if question.kind == "corpus":
        return abs(float(form.score(old.sum(axis=0)[None, :])[0]))
    return None


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


def _calibration(question: _Question, method: str) -> _Inference:
    before, after, codes = question.before, question.after, question.codes
    delta = calibration_error(before, method) - calibration_error(after, method)
    units = len(before) if codes is None else int(codes.max()) + 1
    if units < 2:
        return _Inference(delta, 1.0, None, "one unit: no interval")
    draws, seed = question.draws, question.seed
    shifts = bootstrap_shifts([before, after], codes, method, draws, seed) @ [1.0, -1.0]
    decisive, shown = (basic_interval(shifts, delta, level) for level in question.levels)
    null = swapped_deltas(before, after, codes, method, draws, seed)
    return _Inference(
        delta,
        exceedance_p_value(null, delta),
        (decisive, shown),
        f"{method} randomisation; basic bootstrap",
    )
