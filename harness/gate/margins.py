"""What a rule's bounds are in the units of a metric, and which of them could never fail.

A margin that a broken model would pass guards nothing and reads like a guard: it is refused, with
the largest that guards something.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from steelyard.harness.errors import ConfigError
from steelyard.harness.gate import wording
from steelyard.harness.gate.forgetting import require_forgettable
from steelyard.harness.gate.hypotheses import Hypothesis
from steelyard.harness.records import IMPORTED, Score, metric_name

#: An imported score above it is written in per cent, not as a share.
_NO_SHARE = 10.0
#: What a byte costs a model that has learnt nothing, in bits.
_BITS_OF_A_BYTE = 8.0
#: Shares of wrong words that are written in per cent.
_ERRORS_PER_CENT = ("ter",)


def check_bounds(hypothesis: Hypothesis) -> None:
    """Before anything is scored: raises ``ConfigError`` for a bound in the wrong units."""
    if hypothesis.pair is None:
        pass
    elif hypothesis.rule.max_forgotten is not None:
        require_forgettable(hypothesis, hypothesis.pair.baseline)
    elif hypothesis.rule.is_relative:
        allowed(hypothesis, hypothesis.pair.baseline)
    if hypothesis.rule.is_absolute and hypothesis.own_score is not None:
        require_reachable(hypothesis, hypothesis.own_score)


def allowed(hypothesis: Hypothesis, score: Score) -> float:
    """The margin in the unit of delta. Raises ``ConfigError`` where it could never fail."""
    rule = hypothesis.rule
    _require_own_direction(hypothesis, score)
    if rule.max_ratio is not None:
        if score.kind not in ("ratio", "perplexity") or score.scale == "bits":
            raise ConfigError(
                f"{hypothesis.task}: {score.metric} takes a margin, not a max_ratio",
                key="max_ratio",
                value=rule.max_ratio,
            )
        if rule.max_ratio < 1:
            raise ConfigError(
                "below 1 asks for an improvement, which a ratio rule does not judge",
                key="max_ratio",
                value=rule.max_ratio,
            )
        return math.log(rule.max_ratio)
    margin = rule.margin
    assert margin is not None
    if score.kind == "ratio":
        raise ConfigError(
            f"{hypothesis.task}: {score.metric} is a cost and takes a max_ratio", key="margin"
        )
    if wording.in_points(score) and margin >= 1:
        raise ConfigError(
            f"{hypothesis.task}: {score.metric} lies between 0 and 1, so this margin never fails",
            key="margin",
            value=margin,
            fix=f"for {margin:g} points write {margin / 100:g}",
        )
    if wording.is_relative(score) and margin >= 1:
        raise ConfigError(
            f"{hypothesis.task}: the margin of {score.metric} is relative, so this one lets it "
            f"grow {1 + margin:g}-fold",
            key="margin",
            value=margin,
            fix=f"for {margin:g}% write {margin / 100:g}, or say max_ratio: {1 + margin:g}",
        )
    if score.scale == "bits" and score.value and margin >= score.value:
        raise ConfigError(
            f"{hypothesis.task}: the margin is in bits, and the baseline itself has only "
            f"{score.value:.4g}",
            key="margin",
            value=margin,
        )
    _require_sensible(hypothesis, score, margin)
    # Written as a share of perplexity, tested on the logarithm.
    return math.log1p(margin) if wording.is_relative(score) else margin


def _require_own_direction(hypothesis: Hypothesis, score: Score) -> None:
    """A report shows a metric in its own direction; a gate that turned it would pass what the
    report calls worse.
    """
    asked = hypothesis.rule.higher_is_better
    if asked is None or asked == score.higher_is_better:
        return
    own = "higher" if score.higher_is_better else "lower"
    fix = "leave it out"
    if score.family == IMPORTED:
        fix += "; a column of which less is better is named at its import: --lower"
    raise ConfigError(
        f"{hypothesis.task}: {score.metric} has a direction of its own: {own} is better",
        key="higher_is_better",
        value=asked,
        fix=fix,
    )


def _require_sensible(hypothesis: Hypothesis, score: Score, margin: float) -> None:
    """A blocking margin fails at least a model that gets nothing right, and one that guesses.

    Of a baseline that gets nothing right itself, or that guesses by its own interval, nothing can
    be lost: there the margin is not what is wrong.
    """
    if hypothesis.rule.tier != "block" or hypothesis.slice is not None or score.value is None:
        return
    sign = 1 if score.higher_is_better else -1
    for end, model in (*_worst(hypothesis, score), *_guess(score)):
        room = sign * (score.value - end)
        if 0 < room <= margin:
            raise ConfigError(
                f"{hypothesis.task}: {score.metric} is {score.value:.4g} in the baseline, so "
                f"{model} ({end:g}) would pass",
                key="margin",
                value=margin,
                fix=f"the largest margin that guards something is just below {room:.3g}",
            )


def _worst(hypothesis: Hypothesis, score: Score) -> Iterator[tuple[float, str]]:
    """The score of a model that does nothing right, where the metric has one."""
    nothing = "a model that gets nothing right"
    if score.kind == "perplexity":
        if score.scale == "bits":
            yield _BITS_OF_A_BYTE, "a model that has learnt nothing"
    elif wording.in_points(score):
        yield 0.0 if score.higher_is_better else 1.0, nothing
    elif score.higher_is_better and _never_below_0(hypothesis):
        yield 0.0, nothing
    elif metric_name(score.metric) in _ERRORS_PER_CENT:
        yield 100.0, nothing


def _never_below_0(hypothesis: Hypothesis) -> bool:
    pair = hypothesis.pair
    if pair is None or pair.paired is None or pair.baseline.kind not in ("bounded", "corpus"):
        return False
    return all(bool((rows >= 0).all()) for rows in (pair.paired.baseline, pair.paired.candidate))


def _guess(score: Score) -> Iterator[tuple[float, str]]:
    """The score of a model that guesses, where the baseline is surely above it."""
    low = score.value if score.low is None else score.low
    if score.chance is None or low is None or not score.higher_is_better:
        return
    if low > score.chance:
        yield score.chance, "a model that guesses"


def require_reachable(hypothesis: Hypothesis, score: Score) -> None:
    """Raises ``ConfigError`` for a floor or a ceiling that no score, or none in these units, can
    miss.
    """
    for key in ("min", "max"):
        bound = getattr(hypothesis.rule, key)
        if bound is not None and score.kind == "accuracy" and not 0 <= bound <= 1:
            raise ConfigError(
                f"{hypothesis.task}: {score.metric} lies between 0 and 1",
                key=key,
                value=bound,
                fix=f"for {bound:g} points write {bound / 100:g}",
            )
    rule = hypothesis.rule
    if score.kind == "accuracy" and ((rule.min, rule.max) in ((0, None), (None, 1), (0, 1))):
        raise ConfigError(
            f"{hypothesis.task}: {score.metric} lies between 0 and 1, so this bound never fails",
            key="min" if rule.min is not None else "max",
            value=rule.min if rule.min is not None else rule.max,
            fix="name a bound that a model can miss, or leave the rule out",
        )
    floor = rule.min
    imported = score.family == IMPORTED and score.kind == "bounded" and score.value is not None
    if imported and floor is not None and 0 < floor < 1 and (score.value or 0.0) > _NO_SHARE:
        raise ConfigError(
            f"{hypothesis.task}: {score.metric} is {score.value:g}, which is no share, so a floor "
            "below 1 never fails",
            key="min",
            value=floor,
            fix=f"for {floor:.0%} of 100 write {floor * 100:g}",
        )
