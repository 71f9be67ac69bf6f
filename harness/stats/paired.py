"""Is the candidate better, not worse, or worse than the baseline, on the same samples?

One call for every kind of rows; see ``paired_test``. Sources of the formulas stand in the modules
that hold them: ``proportions`` (0/1), ``bootstrap``, ``randomisation``, ``calibration``.
"""

from __future__ import annotations

import math
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
    few,
    influences,
    shift_p_value,
)
from steelyard.harness.stats.bounds import MeanBounds, rows_needed
from steelyard.harness.stats.calibration import (
    CALIBRATION_METHODS,
    bootstrap_shifts,
    calibration_error,
    swapped_deltas,
)
from steelyard.harness.stats.randomisation import exceedance_p_value, randomised_deltas
from steelyard.harness.stats.resampling import bootstrap_sums
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
from steelyard.harness.stats.units import COST_FACTOR, paired_units, range_of

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
    reason: str = ""
    """Why this test was taken: what the rows are, and what an unseen one is taken to change."""
    fewest: int | None = None
    """How many samples (or clusters) it takes for unchanged ones to pass at this margin; None where
    nothing bounds what an unseen one may change, or at margin 0."""
    units: int = 0
    """Samples, or clusters where samples share them."""

    @property
    def needed(self) -> int | None:
        """``fewest`` where nothing was decided and there are fewer."""
        short = self.fewest is not None and self.fewest > self.units
        return self.fewest if short and self.verdict == "inconclusive" else None


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
    why: str = ""
    """Why this test: what the rows are."""
    room: float = math.inf
    """How far one unit of mean size may change; infinity where nothing bounds it."""
    units: int = 0


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
    verdict = _decide(inference, margin)
    return PairedResult(
        delta=inference.delta,
        low=low,
        high=high,
        p_value=inference.p_value,
        verdict=verdict,
        mde=_detectable(low, high, alpha),
        n=len(before),
        method=inference.method,
        reason=inference.why,
        fewest=rows_needed(margin, inference.room, alpha),
        units=inference.units,
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
    if codes is not None:
        # Few clusters, or very unequal ones, are no shares any more: they are units of a mean.
        return _summed(question)
    if question.higher_is_better is False:
        before, after = after, before
    lost, gained = proportions.flips(before, after)
    decisive = proportions.deciding_interval(lost, gained, len(before), question.levels[0])
    shown = proportions.paired_interval(before, after, question.levels[1])
    return _Inference(
        float((after - before).mean()),
        proportions.mcnemar_p_value(lost, gained),
        (decisive, shown),
        "exact McNemar; Tango score interval",
        "0/1 rows, each on its own",
        room=1.0,
        units=len(before),
    )


def _summed(question: _Question) -> _Inference:
    kind = "bounded" if question.kind == "accuracy" else question.kind
    form = summed_score(kind, question.aggregate, question.before)
    old, new = (
        sum_clusters(form.columns(rows), question.codes)
        for rows in (question.before, question.after)
    )
    sign = _direction(question, form)
    delta_of = _delta_of(sign, form, old.shape[1])
    # A row of both runs is drawn together: what a sample has in common in both cancels.
    both = np.hstack([old, new])
    delta = float(delta_of(both.sum(axis=0)[None, :])[0])
    n, span = len(old), _span(kind, question, form, (old, new))
    units = "" if question.codes is None else "cluster "
    whole = _Inference(delta, 1.0, None, "", _why(kind, units, n, span), room=span, units=n)
    if n < 2 or (kind != "bounded" and few(n, question.levels[0])):
        # The widest that can be: a bootstrap of three values knows no others.
        widest = ((-span, span), (-span, span)) if kind == "bounded" else None
        return replace(whole, intervals=widest, method=f"{n} {units or 'unit'}: no test")
    if kind == "perplexity" and np.array_equal(old, new):
        # Log-likelihoods that agree to the last bit are one model's.
        return replace(whole, intervals=((0.0, 0.0), (0.0, 0.0)), method="no sample changed")
    bounds = MeanBounds.of(paired_units(kind, old, new, delta_of, sign, span))
    intervals = [_around(delta, bounds.interval(level)) for level in question.levels]
    if kind == "bounded":
        intervals = [(max(low, -span), min(high, span)) for low, high in intervals]
    if bounds.units.agree and delta == 0.0:
        decisive, shown = intervals
        return replace(whole, intervals=(decisive, shown), method="no sample changed")
    effects = influences(both, delta_of)
    bootstrapped = kind == "corpus" or question.method == "bootstrap"
    if bootstrapped:
        replicates = delta_of(bootstrap_sums(both, question.draws, question.seed, effects))
    if kind == "corpus":
        # A corpus score is no mean: where it bends, the bootstrap sees it.
        skew = acceleration(effects)
        bent = [bca_interval(replicates, delta, skew, n, level) for level in question.levels]
        intervals = [_wider(one, other) for one, other in zip(intervals, bent, strict=True)]
    decisive, shown = intervals
    name = f"; guarded {units}t" + (" and BCa interval" if kind == "corpus" else " interval")
    if question.method == "bootstrap":
        p_value, how = shift_p_value(replicates, delta), f"{units}bootstrap p"
    else:
        null = randomised_deltas(old, new, form.score, question.draws, question.seed, effects)
        p_value, how = exceedance_p_value(null, delta), f"{units}randomisation"
        if kind != "corpus":
            # Swapping signs of what was seen cannot know of a rare loss that was not.
            p_value = max(p_value, bounds.p_value(-delta))
    return replace(whole, p_value=p_value, intervals=(decisive, shown), method=how + name)


def _around(delta: float, reach: Interval) -> Interval:
    return delta + reach[0], delta + reach[1]


def _wider(one: Interval, other: Interval) -> Interval:
    return min(one[0], other[0]), max(one[1], other[1])


def _direction(question: _Question, form: SummedScore) -> float:
    """1 where more is better, -1 where less is."""
    upward = question.higher_is_better
    if upward is None:
        upward = form.higher_is_better
    # Perplexity is compared by its log-likelihood, whose direction is its own.
    return -1.0 if upward is False and question.kind != "perplexity" else 1.0


def _delta_of(sign: float, form: SummedScore, k: int) -> Score:
    """(m, 2k) sums of both runs -> (m,) changes of the score, positive is better."""

    def delta_of(sums: Floats) -> Floats:
        result: Floats = sign * (form.score(sums[:, k:]) - form.score(sums[:, :k]))
        return result

    return delta_of


def _span(
    kind: str, question: _Question, form: SummedScore, columns: tuple[Floats, Floats]
) -> float:
    """The most that an unseen unit of mean size may change the score: see ``units``.

    What has no range is taken to change by as much as the baseline has; of a baseline at 0 (no
    n-gram in common, no divergence), by as much as the candidate has.
    """
    if kind == "bounded":
        least, most = range_of(np.vstack([question.before, question.after]))
        return most - least
    if kind == "ratio":
        return COST_FACTOR
    own, other = (abs(float(form.score(rows.sum(axis=0)[None, :])[0])) for rows in columns)
    return own or other


def _why(kind: str, units: str, n: int, span: float) -> str:
    """Why this test: what the rows are, and how much an unseen one is taken to change."""
    rows = {
        "bounded": f"bounded rows: one not seen may change by {span:.3g}",
        "perplexity": f"log-likelihoods: a document not seen may change by {span:.3g} nats a unit",
        "ratio": "costs: one not seen may differ by a tenth",
        "corpus": f"a corpus score: a row not seen may be worth {span:.3g}",
    }[kind]
    return f"{rows}; {n} clusters count as the units" if units else rows


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
