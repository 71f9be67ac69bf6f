"""Two runs' scores of a group, paired sample by sample through the rows of its tasks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from steelyard.harness.compare.pairing import Paired, against_score, pair
from steelyard.harness.compare.problems import Problem
from steelyard.harness.compare.scored import Scored
from steelyard.harness.compare.twins import named_alike
from steelyard.harness.records import Score

#: Kinds whose rows add up to a group's: the mean of a sample's own number.
_MEANS = ("accuracy", "bounded")


def pair_group(
    baseline: Scored, candidate: Scored, score: Score, other: Score
) -> tuple[Paired | None, list[Problem]]:
    """The rows of every part of a group on both sides, and what stands in the way.

    Where parts count alike a row weighs as much as its part has few: times N / (parts x n of its
    part), so that the mean of all N rows is the mean of the parts' means. None, and no problem,
    where the parts are no means over samples: such a group has a score and no test.
    """
    if not (score.parts and other.parts):
        side = "candidate" if score.parts else "baseline"
        text = f"the {side} has the group's number without the tasks that it is made of"
        return None, [Problem("rows", text, score.task, score.metric)]
    if (dict(score.parts), score.alike) != (dict(other.parts), other.alike):
        text = "the group is made of other tasks, or weighs them otherwise"
        return None, [Problem("signature", text, score.task, score.metric)]
    if score.kind not in _MEANS or other.kind not in _MEANS:
        return None, []
    pairs: list[Paired] = []
    problems: list[Problem] = []
    for task, metric in score.parts.items():
        paired, texts = _pair_part(baseline, candidate, task, metric)
        problems += [Problem("rows", f"{task}: {t}", score.task, score.metric) for t in texts]
        pairs += [] if paired is None else [paired]
    if len(pairs) < len(score.parts):
        return None, problems
    return _joined(pairs, alike=score.alike, parts=list(score.parts)), problems


def _pair_part(
    baseline: Scored, candidate: Scored, task: str, metric: str
) -> tuple[Paired | None, list[str]]:
    texts: list[str] = []
    sides = []
    for scored, side in ((baseline, "baseline"), (candidate, "candidate")):
        rows, own = scored.rows.get((task, metric)), scored.scores_of(task).get(metric)
        if rows is None or own is None:
            return None, [f"the {side} has no rows"]
        sides.append(rows)
        texts += [problem.text for problem in against_score(rows, own, side)]
    paired, problems = pair(*named_alike(sides[0], sides[1], baseline, candidate))
    return paired, [problem.text for problem in problems] + texts


def _joined(pairs: Sequence[Paired], *, alike: bool, parts: Sequence[str]) -> Paired:
    total = sum(len(paired.sample_ids) for paired in pairs)
    weights = [
        total / (len(pairs) * len(p.sample_ids)) if alike and p.sample_ids else 1.0 for p in pairs
    ]
    clusters: list[str] | None = None
    if any(paired.clusters is not None for paired in pairs):
        # Clusters of one name in two tasks are two.
        clusters = [
            f"{task}: {label}"
            for task, paired in zip(parts, pairs, strict=True)
            for label in paired.clusters or [f"sample {id}" for id in paired.sample_ids]
        ]
    return Paired(
        sample_ids=tuple(
            f"{task}/{id}"
            for task, paired in zip(parts, pairs, strict=True)
            for id in paired.sample_ids
        ),
        baseline=np.vstack([w * p.baseline for w, p in zip(weights, pairs, strict=True)]),
        candidate=np.vstack([w * p.candidate for w, p in zip(weights, pairs, strict=True)]),
        clusters=None if clusters is None else tuple(clusters),
        unscored_in_both=sum(paired.unscored_in_both for paired in pairs),
    )
