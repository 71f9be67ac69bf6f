"""Holds one hypothesis against the rows: margins, ratios, floors and ceilings."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from steelyard.harness.compare import Alone, MetricPair, Settings, aggregate_of, run_test
from steelyard.harness.errors import StatisticsError, UnknownNameError
from steelyard.harness.gate import forgetting, wording
from steelyard.harness.gate.forgetting import require_forgettable
from steelyard.harness.gate.hypotheses import Hypothesis
from steelyard.harness.gate.margins import allowed, require_reachable
from steelyard.harness.gate.policy import Claim, Rule
from steelyard.harness.records import RuleVerdict, Score
from steelyard.harness.stats import PairedResult, score_interval

#: One-sided, of the intervals that a run keeps with its scores.
_STORED_ALPHA = 0.025
_SAME = "PASS (the same checkpoint"
NUMBERS = ("delta", "low", "high", "p_value", "mde", "n", "method", "reason")


@dataclass(frozen=True)
class Finding:
    """What holding one hypothesis (or cost) against the numbers came to."""

    rule: Rule
    label: str
    verdict: RuleVerdict
    why: str
    claim: Claim
    task: str | None = None
    metric: str | None = None
    slice: str | None = None
    margin: float | None = None
    numbers: Mapping[str, Any] = field(default_factory=dict)
    """``delta``, ``low``, ``high``, ``p_value``, ``mde``, ``n``, and the test's name and reason."""
    fails_at: Callable[[float], bool] | None = None
    """Whether it also fails at a smaller one-sided level (for Holm); None: it fails at any."""
    passes_at: Callable[[float], bool] | None = None
    """Whether it also passes at a smaller one-sided level; None: it passes at any."""
    advisory: bool = False
    """The numbers do not carry a verdict, so a blocking rule only warns."""
    grounds: str = ""
    """``why`` without its verdict, for one that may still change."""
    aspect: str | None = None
    """What was asked about the rows, where it is not how far the score moved."""
    is_test: bool = False
    """Whether chance decides it, at an error rate: a margin held on items like these."""

    @property
    def question(self) -> tuple[str | None, str | None, str | None, str | None]:
        """What was looked at, by whatever margin: task, metric, slice and aspect."""
        return self.task, self.metric, self.slice, self.aspect

    def softened(self, count: int) -> Finding:
        """A failure that does not survive the correction over ``count`` questions."""
        why = (
            f"{self.grounds or self.why}: INCONCLUSIVE (a failure on its own, not after "
            f"Holm's correction over {count} blocking tests that did not pass)"
        )
        return replace(self, verdict="inconclusive", why=why)


def judge_hypothesis(
    hypothesis: Hypothesis, claim: Claim, settings: Settings, *, same_checkpoint: bool
) -> list[Finding]:
    """One finding for each bound of the hypothesis' rule."""
    findings = []
    if hypothesis.rule.is_relative:
        if hypothesis.problem is not None or hypothesis.pair is None:
            findings.append(not_comparable(hypothesis, hypothesis.problem, claim))
        elif hypothesis.rule.max_forgotten is not None:
            findings.append(
                _forgetting(hypothesis, hypothesis.pair, claim, settings, same_checkpoint)
            )
        else:
            findings.append(_margin(hypothesis, hypothesis.pair, claim, settings, same_checkpoint))
    if hypothesis.rule.is_absolute:
        if hypothesis.own_problem is not None or hypothesis.own_score is None:
            findings.append(not_comparable(hypothesis, hypothesis.own_problem, claim))
        else:
            findings.append(_floor(hypothesis, hypothesis.own_score, claim, settings))
    return findings


def not_comparable(hypothesis: Hypothesis, problem: str | None, claim: Claim) -> Finding:
    """The finding where a run lacks something, by what the rule says follows."""
    rule = hypothesis.rule
    verdict: RuleVerdict = "fail" if rule.on_missing == "fail" else "not_comparable"
    outcome = "FAIL" if verdict == "fail" else "NOT COMPARABLE"
    why = f"{_where(hypothesis)}: {problem or 'one of the runs lacks it'}: {outcome}"
    if rule.on_missing == "pass":
        why += " (waived by on_missing: pass)"
    return _finding(hypothesis, verdict, why, claim)


def undecided(hypothesis: Hypothesis, why: str, claim: Claim) -> Finding:
    """The finding of a rule that an early decision left open."""
    return _finding(hypothesis, "inconclusive", f"{_where(hypothesis)}: {why}: INCONCLUSIVE", claim)


def _margin(
    hypothesis: Hypothesis,
    pair: MetricPair,
    claim: Claim,
    settings: Settings,
    same_checkpoint: bool,
) -> Finding:
    score, paired = pair.baseline, pair.paired
    assert paired is not None
    margin = allowed(hypothesis, score)
    subset = hypothesis.subset

    def test(level: float) -> PairedResult:
        return run_test(score, paired, settings, margin=margin, alpha=level, subset=subset)

    try:
        result = test(settings.alpha)
    except (StatisticsError, UnknownNameError) as error:
        why = f"{_where(hypothesis)}: cannot be tested: {error}: NOT COMPARABLE"
        return _finding(hypothesis, "not_comparable", why, claim)
    verdict: RuleVerdict
    words = f"{_where(hypothesis)}: {wording.change(score, result, margin)}"
    if paired.unscored_in_both:
        words += f", {paired.unscored_in_both} more samples unscored in both"
    if same_checkpoint and np.array_equal(paired.baseline, paired.candidate):
        verdict, outcome = "pass", f"{_SAME}, and the same rows)"
    elif claim == "benchmark":
        verdict, outcome = _on_these_items(result, margin)
    else:
        verdict, outcome = _on_items_like_these(score, result, margin)
    finding = _finding(hypothesis, verdict, f"{words}: {outcome}", claim)
    exact = claim == "benchmark"
    return replace(
        finding,
        grounds=words,
        margin=margin,
        numbers={name: getattr(result, name) for name in NUMBERS},
        fails_at=None if exact else lambda level: test(level).verdict == "worse",
        passes_at=None
        if exact or outcome.startswith(_SAME)
        else lambda level: test(level).verdict in ("better", "not_worse"),
        is_test=not exact,
    )


def _forgetting(
    hypothesis: Hypothesis,
    pair: MetricPair,
    claim: Claim,
    settings: Settings,
    same_checkpoint: bool,
) -> Finding:
    score, paired = pair.baseline, pair.paired
    assert paired is not None
    require_forgettable(hypothesis, score)
    count = forgetting.forgotten(hypothesis, score, paired, settings)
    if count.right == 0:
        return not_comparable(hypothesis, "the baseline had none of its samples right", claim)
    words = f"{_where(hypothesis)}: {forgetting.in_words(count)}"
    same = same_checkpoint and np.array_equal(paired.baseline, paired.candidate)
    verdict: RuleVerdict = "pass"
    outcome = f"{_SAME}, and the same rows)"
    if not same:
        verdict, outcome = forgetting.decided(count, claim, settings.alpha)
    exact = claim == "benchmark"
    low, high = count.interval()
    numbers = {
        "delta": -count.share,
        "low": -high,
        "high": -low,
        "n": count.right,
        "method": "clopper_pearson",
        "reason": "wrong now, of what the baseline had right",
    }
    return replace(
        _finding(hypothesis, verdict, f"{words}: {outcome}", claim),
        grounds=words,
        margin=count.bound,
        numbers=numbers,
        fails_at=None if exact else count.fails,
        passes_at=None if exact or same else count.passes,
        aspect="forgotten",
        is_test=not exact,
    )


def _on_these_items(result: PairedResult, margin: float) -> tuple[RuleVerdict, str]:
    """These n samples were all scored: nothing is left to chance, only equality decides nothing."""
    if result.delta > -margin or (result.delta == 0.0 == margin):
        return "pass", f"PASS on these {result.n} samples"
    if result.delta < -margin:
        return "fail", "FAIL"
    return "inconclusive", f"INCONCLUSIVE (exactly the margin on these {result.n} samples)"


def _on_items_like_these(
    score: Score, result: PairedResult, margin: float
) -> tuple[RuleVerdict, str]:
    if result.verdict in ("better", "not_worse"):
        crossing = result.low is not None and result.low <= -margin
        return "pass", "PASS (by its one-sided bound)" if crossing else "PASS"
    if result.verdict == "worse":
        return "fail", "FAIL"
    return "inconclusive", f"INCONCLUSIVE ({wording.detectable(score, result)})"


def _floor(hypothesis: Hypothesis, score: Score, claim: Claim, settings: Settings) -> Finding:
    rule = hypothesis.rule
    assert score.value is not None
    require_reachable(hypothesis, score)
    exact = (score.value, score.value)
    low, high = exact if claim == "benchmark" else _bounds(score, hypothesis.own, settings)
    shown = f"{score.value:.4g}"
    where = f"{_where(hypothesis)}: {shown}"
    if score.unscored:
        where += f" of {score.n} samples, {score.unscored} more are unscored"
    if low is None or high is None:
        why = f"{where} without an interval, {' and '.join(rule.bounds)}: INCONCLUSIVE"
        return _finding(hypothesis, "inconclusive", why, claim)
    if claim == "population":
        where += f" ({(1 - 2 * settings.alpha) * 100:.0f}% interval {low:.4g} to {high:.4g})"
    floor, ceiling = _or(rule.min, -math.inf), _or(rule.max, math.inf)
    verdict: RuleVerdict = "inconclusive"
    if low >= floor and high <= ceiling:
        verdict = "pass"
    elif high < floor or low > ceiling:
        verdict = "fail"
    asked = " and ".join(rule.absolute_bounds)
    finding = _finding(hypothesis, verdict, f"{where}, {asked}: {verdict.upper()}", claim)
    if claim == "benchmark":
        return finding

    def passes(level: float) -> bool:
        if hypothesis.own is None and level < _STORED_ALPHA:
            return False
        low, high = _bounds(score, hypothesis.own, replace(settings, alpha=level))
        return low is not None and high is not None and floor <= low and high <= ceiling

    return replace(finding, passes_at=passes)


def _bounds(
    score: Score, own: Alone | None, settings: Settings
) -> tuple[float | None, float | None]:
    """The candidate's own interval at 1 - 2 alpha; its stored 95% where rows cannot give it."""
    if own is None:
        return score.low, score.high
    try:
        interval = score_interval(
            own.values,
            kind=score.kind,
            clusters=own.clusters,
            alpha=2 * settings.alpha,
            method=score.method,
            draws=settings.draws,
            seed=settings.seed,
            aggregate=aggregate_of(score.metric) if score.kind == "corpus" else None,
        )
    except (StatisticsError, UnknownNameError):
        return score.low, score.high
    assert score.value is not None
    if math.isclose(interval.value, score.value, rel_tol=1e-6, abs_tol=1e-9):
        return interval.low, interval.high
    return score.low, score.high


def _or(value: float | None, other: float) -> float:
    return other if value is None else value


def _where(hypothesis: Hypothesis) -> str:
    text = f"{hypothesis.task}: {hypothesis.metric}"
    return f"{text} [{hypothesis.slice}]" if hypothesis.slice else text


def _finding(hypothesis: Hypothesis, verdict: RuleVerdict, why: str, claim: Claim) -> Finding:
    advisory = hypothesis.advisory and hypothesis.rule.tier == "block"
    return Finding(
        rule=hypothesis.rule,
        label=hypothesis.label,
        verdict=verdict,
        why=f"{why} (advisory: shown, never blocks)" if advisory else why,
        claim=claim,
        task=hypothesis.task,
        metric=hypothesis.metric,
        slice=hypothesis.slice,
        advisory=hypothesis.advisory,
    )
