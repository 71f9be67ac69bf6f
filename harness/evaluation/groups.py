"""The scores of groups: weighted means of their tasks' scores, with an interval over the tasks."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from steelyard.harness.files import digest_json
from steelyard.harness.records import QUALITY, Flag, Kind, Score, TaskSignature
from steelyard.harness.stats import ScoreInterval, combined_interval, combined_shares
from steelyard.harness.suites import BuiltGroup, BuiltTask, GroupMetric

#: Kinds whose score is a mean over samples.
_MEANS = ("accuracy", "bounded")


def group_scores(
    groups: Iterable[BuiltGroup], tasks: Mapping[str, BuiltTask], scores: Sequence[Score]
) -> tuple[Score, ...]:
    """A score for each metric (and filter) that each group aggregates.

    ``tasks`` are those of the suite by name, ``scores`` what they got. A group of which a task was
    not scored has no value, and a note that names it; a task whose definition lacks the metric is
    no part of it, as in lm-eval, and is named too.
    """
    by_task: dict[str, dict[str, Score]] = {}
    for score in scores:
        by_task.setdefault(score.task, {})[score.metric] = score
    results: list[Score] = []
    for group in groups:
        every = [
            _score(group, metric, filter_name, tasks, by_task)
            for metric in group.metrics
            for filter_name in _filters(group, metric, tasks)
        ]
        own = [score for score in every if score is not None]
        results += [s.model_copy(update={"primary": i == 0}) for i, s in enumerate(own)]
    return tuple(results)


def group_signature(
    name: str, made_of: str, parts: Sequence[TaskSignature]
) -> TaskSignature | None:
    """Under what a group was scored: what all of its tasks were; None where none was.

    ``made_of`` identifies what the group's score is made of.
    """
    if not parts:
        return None
    ordered = sorted(parts, key=lambda signature: signature.task)
    decodings = sorted({part.decoding for part in ordered if part.decoding is not None})
    seeds = {part.few_shot_seed for part in ordered if part.few_shot_seed is not None}
    limits = {part.limit for part in ordered}
    rules = {part.parity for part in ordered if part.parity is not None}
    twins = [part.same_as for part in ordered]
    return ordered[0].model_copy(
        update={
            "task": name,
            "task_digest": digest_json([made_of, [(p.task, p.task_digest) for p in ordered]]),
            "data_digest": digest_json([(p.task, p.data_digest) for p in ordered]),
            "few_shot": max(part.few_shot for part in ordered),
            "few_shot_seed": seeds.pop() if len(seeds) == 1 else None,
            "limit": limits.pop() if len(limits) == 1 else None,
            "parity": rules.pop() if len(rules) == 1 else None,
            "same_as": None if None in twins else digest_json([made_of, *twins]),
            "decoding": "; ".join(decodings) or None,
            # One model's, so one value: that of whichever task generates.
            "generation_defaults": next(
                (p.generation_defaults for p in ordered if p.generation_defaults), None
            ),
            "versions": {k: v for part in ordered for k, v in part.versions.items()},
        }
    )


def _filters(
    group: BuiltGroup, metric: GroupMetric, tasks: Mapping[str, BuiltTask]
) -> Sequence[str]:
    if metric.filters is not None:
        return metric.filters
    return sorted({name for task in group.tasks if task in tasks for name in tasks[task].filters})


def _score(
    group: BuiltGroup,
    metric: GroupMetric,
    filter_name: str,
    tasks: Mapping[str, BuiltTask],
    by_task: Mapping[str, Mapping[str, Score]],
) -> Score | None:
    """The group's score behind one filter; None where none of its tasks defines it."""
    several = len(_filters(group, metric, tasks)) > 1
    name = f"{metric.metric},{filter_name}" if several else metric.metric
    unscored = [task for task in group.tasks if not by_task.get(task)]
    parts, lacking = [], []
    for task in group.tasks:
        if task in unscored:
            continue
        behind = tasks[task].filters
        own = f"{metric.metric},{filter_name}" if len(behind) > 1 else metric.metric
        score = by_task[task].get(own) if filter_name in behind else None
        (lacking.append(task) if score is None else parts.append(score))
    if not parts:
        return None
    return combined(
        group.name, name, parts, alike=not metric.by_size, unscored=unscored, lacking=lacking
    )


def combined(
    group: str,
    metric: str,
    parts: Sequence[Score],
    *,
    alike: bool,
    unscored: Sequence[str] = (),
    lacking: Sequence[str] = (),
) -> Score:
    """The score of a group from those of its parts.

    ``unscored`` names tasks that have no scores at all, ``lacking`` those whose definition has no
    such metric.
    """
    values = [part.value for part in parts]
    scored = [value for value in values if value is not None]
    without = [*unscored, *(p.task for p in parts if p.value is None)]
    differing = _differing(parts)
    notes = [f"not a mean of one thing: its tasks differ in {differing}"] if differing else []
    notes += [f"not scored: {_listed(without)}"] if without else []
    notes += [f"without {_listed(lacking)}, which has no {metric}"] if lacking else []
    weights = _weights(parts, alike)
    low = high = value = None
    if not without and not differing:
        intervals = [
            ScoreInterval(v, part.low, part.high) for v, part in zip(scored, parts, strict=True)
        ]
        if all(part.kind == "accuracy" for part in parts):
            sizes = [part.n for part in parts]
            value, low, high = combined_shares(intervals, sizes, weights)
        else:
            value, low, high = combined_interval(intervals, weights)
        if low is None:
            bare = [part.task for part in parts if part.low is None]
            notes.append(f"no interval: {_listed(bare)} has none")
    flags: Counter[Flag] = Counter()
    for part in parts:
        flags.update(part.flags)
    first = parts[0]
    return first.model_copy(
        update={
            "task": group,
            "metric": metric,
            "value": value,
            "low": low,
            "high": high,
            "n": sum(part.n for part in parts),
            "unscored": sum(part.unscored for part in parts),
            "kind": _kind(parts, alike),
            "family": first.family if len({p.family for p in parts}) == 1 else QUALITY,
            "primary": False,
            "chance": _mean([part.chance for part in parts], weights),
            "majority": _mean([part.majority for part in parts], weights),
            "signature": first.signature if len({p.signature for p in parts}) == 1 else None,
            "per_token": any(part.per_token for part in parts),
            "advisory": any(part.advisory for part in parts),
            "flags": dict(sorted(flags.items())),
            "parts": {part.task: part.metric for part in parts},
            "alike": alike,
            "note": "; ".join(notes) or None,
        }
    )


def _weights(parts: Sequence[Score], alike: bool) -> list[float]:
    total = sum(part.n for part in parts)
    if alike or not total:
        return [1 / len(parts)] * len(parts)
    return [part.n / total for part in parts]


def _kind(parts: Sequence[Score], alike: bool) -> Kind:
    """0/1 where the group's rows, weighted, still are; a mean of means is bounded."""
    kinds = {part.kind for part in parts}
    if kinds == {"accuracy"} and not alike:
        return "accuracy"
    if kinds <= set(_MEANS):
        return "bounded"
    return parts[0].kind


def _differing(parts: Sequence[Score]) -> str | None:
    """What keeps the parts from being added up at all."""
    families = {part.kind if part.kind not in _MEANS else "mean" for part in parts}
    fields = ("higher_is_better", "unit", "scale", "method")
    names = ["kind"] if len(families) > 1 else []
    names += [name for name in fields if len({getattr(part, name) for part in parts}) > 1]
    return ", ".join(name.replace("_", " ") for name in names) or None


def _mean(values: Sequence[float | None], weights: Sequence[float]) -> float | None:
    numbers = [value for value in values if value is not None]
    if len(numbers) < len(values):
        return None
    return math.fsum(w * v for w, v in zip(weights, numbers, strict=True))


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown
