"""Before anything is scored: how many samples each rule needs, and whether that many are at hand.

A rule with a margin is planned for a candidate that truly equals the baseline: the samples after
which it passes with the wanted power. Where a scored candidate of the same kind is given, its own
paired differences say how much samples vary; otherwise a share of samples that change is assumed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from steelyard.harness.compare import Paired, Scored, Settings, pair_task, run_test
from steelyard.harness.errors import Collected, StatisticsError, UnknownNameError
from steelyard.harness.gate.forgetting import forgotten
from steelyard.harness.gate.hypotheses import Hypothesis, Selection
from steelyard.harness.gate.margins import allowed, check_bounds
from steelyard.harness.gate.policy import Gate, Rule
from steelyard.harness.records import Score, Tier
from steelyard.harness.stats import POWER, PairedResult, discordance_of, items_needed

#: The power at which ``PairedResult.mde`` is quoted.
_MDE_POWER = POWER


@dataclass(frozen=True)
class RulePlan:
    """One rule on one task (or slice): what it needs and what is there."""

    rule: str
    tier: Tier
    task: str | None
    metric: str | None
    slice: str | None
    margin: float | None
    items_at_hand: int
    items_needed: int | None
    """None where no number of samples decides it, or it cannot be told."""
    decidable: bool | None
    """Whether the samples at hand are enough; None where it cannot be told."""
    why: str
    seconds: float | None = None
    """Scoring time of the samples that will be asked: those needed, or all where too few."""
    energy_kwh: float | None = None


def plan(
    gate: Gate,
    baseline: Scored,
    like: Scored | None = None,
    *,
    discordance: float = 0.1,
    power: float = 0.8,
) -> tuple[RulePlan, ...]:
    """What each rule of ``gate`` needs on the baseline's samples.

    Args:
        gate: the policy.
        baseline: a run with its rows.
        like: a scored candidate of the kind that will come; its differences are taken as typical.
        discordance: without ``like``, the share of samples that a candidate changes.
        power: the chance to pass that an equal candidate is to have.

    Raises ``ConfigError`` for each rule that selects nothing.
    """
    other = like or baseline
    pairs = [pair_task(baseline, other, task) for task in baseline.tasks]
    selection = Selection(baseline, other, pairs)
    settings = Settings(alpha=gate.alpha, draws=gate.draws)
    plans = []
    problems = Collected()
    for i, rule in enumerate(gate.rules):
        if rule.is_cost:
            plans.append(_cost_plan(rule))
            continue
        with problems.of(key=f"rules.{i}"):
            for hypothesis in selection.of(rule):
                needs = _of_hypothesis(hypothesis, settings, like, discordance, power)
                plans.append(_priced(needs, baseline))
    problems.raise_any()
    return tuple(plans)


def _of_hypothesis(
    hypothesis: Hypothesis,
    settings: Settings,
    like: Scored | None,
    discordance: float,
    power: float,
) -> RulePlan:
    pair = hypothesis.pair
    check_bounds(hypothesis)
    if not hypothesis.rule.is_relative:
        why = "depends on how far the candidate lies from the bound: not planned"
        return _unplanned(hypothesis, why)
    if hypothesis.problem or pair is None or pair.paired is None:
        why = hypothesis.problem or "no rows on either side"
        return replace(_unplanned(hypothesis, why), decidable=False)
    n = len(pair.paired.sample_ids if hypothesis.subset is None else hypothesis.subset)
    if hypothesis.rule.max_forgotten is not None:
        return _of_forgetting(hypothesis, pair.baseline, pair.paired, settings)
    margin = allowed(hypothesis, pair.baseline)
    if margin == 0:
        why = "margin 0: an equal candidate passes by chance alone, only a gain decides"
        return replace(_unplanned(hypothesis, why), items_at_hand=n, decidable=False)
    try:
        if like is not None:
            needed, why = _from_pair(hypothesis, settings, margin, power, like.name)
        else:
            needed, why = _assumed(hypothesis, settings, margin, discordance, power)
    except (StatisticsError, UnknownNameError) as error:
        needed, why = None, error.message
    return replace(
        _unplanned(hypothesis, why),
        margin=margin,
        items_at_hand=n,
        items_needed=needed,
        decidable=None if needed is None else needed <= n,
    )


def _of_forgetting(
    hypothesis: Hypothesis, score: Score, paired: Paired, settings: Settings
) -> RulePlan:
    """Counted in samples that the baseline had right, were none of them wrong now."""
    count = forgotten(hypothesis, score, paired, settings)
    needed = count.fewest(settings.alpha)
    return replace(
        _unplanned(hypothesis, "right in the baseline, were none of them wrong now"),
        margin=count.bound,
        items_at_hand=count.right,
        items_needed=needed,
        decidable=needed is not None and needed <= count.right,
    )


def _from_pair(
    hypothesis: Hypothesis, settings: Settings, margin: float, power: float, name: str
) -> tuple[int | None, str]:
    """From the spread of a scored pair: its standard error shrinks with the root of n."""
    assert hypothesis.pair is not None and hypothesis.pair.paired is not None
    score, paired = hypothesis.pair.baseline, hypothesis.pair.paired
    result = run_test(score, paired, settings, margin=margin, subset=hypothesis.subset)
    if score.kind == "accuracy" and paired.clusters is None:
        before, after = _chosen_values(hypothesis)
        lost, gained = int((before > after).sum()), int((after > before).sum())
        changed = discordance_of(lost, gained, result.n)
        needed = items_needed(margin, changed, alpha=settings.alpha, power=power)
        return max(
            needed, _at_least(result)
        ), f"{lost + gained} of {result.n} samples changed in '{name}'"
    if result.mde is None:
        return None, f"'{name}' gives no interval"
    reach = _quantiles(settings.alpha, power) / _quantiles(settings.alpha, _MDE_POWER)
    needed = math.ceil(result.n * (result.mde * reach / margin) ** 2)
    return max(needed, _at_least(result)), f"samples vary as in '{name}'"


def _at_least(result: PairedResult) -> int:
    """Samples below which not even unchanged ones would pass, in clusters as large as these."""
    if result.fewest is None or not result.units:
        return 2
    return max(2, math.ceil(result.fewest * result.n / result.units))


def _assumed(
    hypothesis: Hypothesis, settings: Settings, margin: float, discordance: float, power: float
) -> tuple[int | None, str]:
    assert hypothesis.pair is not None
    score = hypothesis.pair.baseline
    if score.kind == "accuracy":
        changed, why = discordance, f"assuming that {discordance:.0%} of the samples change"
    elif score.kind == "bounded" and _within_unit(hypothesis):
        before, _ = _chosen_values(hypothesis)
        # A 0/1 row drawn anew has four times the variance of a share's own row at most.
        changed = discordance * min(1.0, 4 * float(before.var()))
        why = f"assuming that {discordance:.0%} of the samples are drawn anew"
        if changed == 0:
            return None, "the baseline's rows do not vary; name a scored candidate: --like RUN"
    else:
        return None, f"{score.kind} scores: name a scored candidate of this kind: --like RUN"
    return items_needed(margin, changed, alpha=settings.alpha, power=power), why


def _chosen_values(hypothesis: Hypothesis) -> tuple[np.ndarray, np.ndarray]:
    assert hypothesis.pair is not None and hypothesis.pair.paired is not None
    paired = hypothesis.pair.paired
    chosen = slice(None) if hypothesis.subset is None else list(hypothesis.subset)
    return paired.baseline[chosen, 0], paired.candidate[chosen, 0]


def _within_unit(hypothesis: Hypothesis) -> bool:
    before, _ = _chosen_values(hypothesis)
    return bool(before.min(initial=0.0) >= 0 and before.max(initial=0.0) <= 1)


def _quantiles(alpha: float, power: float) -> float:
    return float(special.ndtri(1 - alpha) + special.ndtri(power))


def _unplanned(hypothesis: Hypothesis, why: str) -> RulePlan:
    """The plan of what cannot be told, and the reason."""
    return RulePlan(
        rule=hypothesis.label,
        tier=hypothesis.rule.tier,
        task=hypothesis.task,
        metric=hypothesis.metric,
        slice=hypothesis.slice,
        margin=None,
        items_at_hand=0,
        items_needed=None,
        decidable=None,
        why=why,
    )


def _cost_plan(rule: Rule) -> RulePlan:
    return RulePlan(
        rule=rule.label,
        tier=rule.tier,
        task=None,
        metric=None,
        slice=None,
        margin=None,
        items_at_hand=0,
        items_needed=None,
        decidable=True,
        why="one number a run: no samples needed",
    )


def _priced(needs: RulePlan, baseline: Scored) -> RulePlan:
    """Time and energy at the mean price of a sample in the baseline's own scoring."""
    spent = next((e for e in baseline.run.energy if e.phase == "score"), None)
    samples = _sample_count(baseline.run.scores)
    if spent is None or not samples or not needs.items_at_hand:
        return needs
    asked = min(needs.items_at_hand, needs.items_needed or needs.items_at_hand)
    share = asked / samples
    return replace(
        needs,
        seconds=None if spent.seconds is None else spent.seconds * share,
        energy_kwh=None if spent.energy_kwh is None else spent.energy_kwh * share,
    )


def _sample_count(scores: Sequence[Score]) -> int:
    by_task: dict[str, int] = {}
    for score in scores:
        by_task[score.task] = max(by_task.get(score.task, 0), score.n + score.unscored)
    return sum(by_task.values())
