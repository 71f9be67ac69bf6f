"""The paired difference of one metric on one task, by the test that belongs to its kind."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from steelyard.harness import stats
from steelyard.harness.compare.comparability import inspect_task
from steelyard.harness.compare.groups import pair_group
from steelyard.harness.compare.pairing import Paired, against_score, other_lengths, pair
from steelyard.harness.compare.problems import Problem
from steelyard.harness.compare.scales import other_scale
from steelyard.harness.compare.scored import Scored
from steelyard.harness.compare.twins import named_alike
from steelyard.harness.errors import SteelyardError
from steelyard.harness.plugins import load_plugin
from steelyard.harness.records import OWN_UNIT, SHARES, Delta, Difference, Score, metric_name

if TYPE_CHECKING:
    from steelyard.harness.stats import PairedResult

Aggregate = Callable[[Any], Any]


@dataclass(frozen=True)
class Settings:
    """How a comparison tests: ``alpha`` is one-sided per side."""

    alpha: float = 0.05
    draws: int = 10_000
    seed: int = 0


@dataclass(frozen=True)
class MetricPair:
    """One metric of one task in both runs: paired rows, or none where something stands in the way.

    ``paired`` is None for scores without rows (imported as bare numbers): nothing to test.
    """

    baseline: Score
    candidate: Score
    paired: Paired | None
    comparable: bool
    why_not: str = ""
    """Why it may not be compared; empty where it may."""

    @property
    def testable(self) -> bool:
        """Whether a paired test may be run."""
        return self.comparable and self.paired is not None and len(self.paired.sample_ids) > 0


@dataclass(frozen=True)
class TaskPair:
    """One task of two runs side by side: what differs, what stands in the way, and the pairs."""

    task: str
    differences: tuple[Difference, ...]
    problems: tuple[Problem, ...]
    metrics: Mapping[str, MetricPair]


def pair_task(
    baseline: Scored, candidate: Scored, task: str, run_problems: Sequence[Problem] = ()
) -> TaskPair:
    """Inspect one of the baseline's tasks, then pair every metric that both runs have."""
    differences, problems = inspect_task(baseline, candidate, task)
    others = candidate.scores_of(task)
    both = {}
    for metric, score in baseline.scores_of(task).items():
        if metric in others:
            paired, faults = _paired_rows(baseline, candidate, score, others[metric])
            problems += faults
            both[metric] = (_as_paired(score, others[metric], paired), others[metric], paired)
    in_the_way = [*run_problems, *problems]
    metrics = {}
    for metric, (before, after, paired) in both.items():
        reasons = dict.fromkeys(p.text for p in in_the_way if p.touches(task, metric))
        metrics[metric] = MetricPair(before, after, paired, not reasons, "; ".join(reasons))
    return TaskPair(task, tuple(differences), tuple(problems), metrics)


def _as_paired(score: Score, other: Score, paired: Paired | None) -> Score:
    """The baseline's score as both sides' rows have it: graded, and no share where one exceeds 1.

    A mean between 0 and 1 says nothing: a reward of .4 may be made of rows from -3 to 5.
    """
    if score.kind == "accuracy" and other.kind == "bounded":
        score = score.model_copy(update={"kind": "bounded"})
    if score.kind != "bounded" or score.unit not in SHARES or score.parts or paired is None:
        return score
    ends = [end for rows in (paired.baseline, paired.candidate) if rows.size for end in
            (rows.min(), rows.max())]  # fmt: skip
    beyond = bool(ends) and not (min(ends) >= 0 and max(ends) <= 1)
    return score.model_copy(update={"unit": OWN_UNIT}) if beyond else score


def _paired_rows(
    baseline: Scored, candidate: Scored, score: Score, other: Score
) -> tuple[Paired | None, list[Problem]]:
    if score.parts or other.parts:
        return pair_group(baseline, candidate, score, other)
    before = baseline.rows.get((score.task, score.metric))
    after = candidate.rows.get((score.task, score.metric))
    if before is None and after is None:
        return None, []
    if before is None or after is None:
        side = "baseline" if before is None else "candidate"
        text = f"the {side} has a score but none of its rows"
        return None, [Problem("rows", text, score.task, score.metric)]
    paired, problems = pair(*named_alike(before, after, baseline, candidate))
    problems += against_score(before, score, "baseline")
    problems += against_score(after, other, "candidate")
    problems += other_lengths(paired, score)
    if {score.kind, other.kind} <= {"accuracy", "bounded"}:
        right_or_wrong = "accuracy" in (score.kind, other.kind)
        scales = other_scale(paired.baseline, paired.candidate, right_or_wrong=right_or_wrong)
        problems += [Problem("signature", scales, score.task, score.metric)] if scales else []
    return paired, problems


def run_test(
    score: Score,
    paired: Paired,
    settings: Settings,
    *,
    margin: float = 0.0,
    alpha: float | None = None,
    subset: Sequence[int] | None = None,
) -> PairedResult:
    """The paired test of one metric, on all pairs or on ``subset`` (indices), in its own units.

    Perplexities keep the test's unit: delta and margin are relative (the logarithm of a ratio).

    Raises ``StatisticsError``, and ``UnknownNameError`` for a corpus metric that no plugin knows.
    """
    before, after, clusters = paired.baseline, paired.candidate, paired.clusters
    if subset is not None:
        chosen = np.asarray(subset, dtype=np.intp)
        before, after = before[chosen], after[chosen]
        clusters = None if clusters is None else tuple(clusters[i] for i in subset)
    scale = _scale(score)
    result = stats.paired_test(
        before,
        after,
        kind=score.kind,
        clusters=clusters,
        margin=margin / scale,
        alpha=settings.alpha if alpha is None else alpha,
        method=score.method,
        draws=settings.draws,
        seed=settings.seed,
        aggregate=aggregate_of(score.metric) if score.kind == "corpus" else None,
        higher_is_better=score.higher_is_better,
    )
    return result if scale == 1.0 else _scaled(result, scale)


def _scale(score: Score) -> float:
    """Units of the metric per unit of the test's delta: bits for nats, else one for one."""
    return 1 / math.log(2) if score.scale == "bits" else 1.0


def _scaled(result: PairedResult, scale: float) -> PairedResult:
    def scaled(value: float | None) -> float | None:
        return None if value is None else value * scale

    return replace(
        result,
        delta=result.delta * scale,
        low=scaled(result.low),
        high=scaled(result.high),
        mde=scaled(result.mde),
    )


@cache
def aggregate_of(metric: str) -> Aggregate:
    """The aggregate of the metric plugin called ``metric``: summed rows -> score."""
    metric_class = load_plugin("metrics", metric_name(metric))
    instance = metric_class() if isinstance(metric_class, type) else metric_class
    # Where a metric scores many lines of sums at once, ten thousand resamples cost one call.
    aggregate: Aggregate = getattr(instance, "aggregate_sums", instance.aggregate)
    return aggregate


def delta_of(pair: MetricPair, settings: Settings) -> Delta:
    """The record of one metric's difference; values only where no test may be run."""
    score = pair.baseline
    plain = Delta(
        task=score.task,
        metric=score.metric,
        family=score.family,
        kind=score.kind,
        scale=score.scale,
        primary=score.primary,
        higher_is_better=score.higher_is_better,
        baseline=score.value,
        candidate=pair.candidate.value,
        unit=score.unit,
        note=None if pair.comparable else f"not comparable: {pair.why_not}",
    )
    if not pair.testable or pair.paired is None:
        bare = pair.comparable and pair.paired is None
        return plain.model_copy(update={"note": "no rows: not tested"}) if bare else plain
    try:
        result = run_test(score, pair.paired, settings)
    except SteelyardError as error:
        return plain.model_copy(update={"note": f"not tested: {error}"})
    delta = with_result(plain, result, pair.paired.unscored_in_both)
    same = np.array_equal(pair.paired.baseline, pair.paired.candidate)
    return delta.model_copy(update={"verdict": "identical"}) if same else delta


def with_result(delta: Delta, result: PairedResult, unscored: int = 0) -> Delta:
    """``delta`` with the numbers of its test."""
    return delta.model_copy(
        update={
            "delta": result.delta,
            "low": result.low,
            "high": result.high,
            "p_value": result.p_value,
            "verdict": result.verdict,
            "mde": result.mde,
            "n": result.n,
            "method": result.method,
            "reason": result.reason or None,
            "note": f"{unscored} samples unscored in both runs" if unscored else None,
        }
    )
