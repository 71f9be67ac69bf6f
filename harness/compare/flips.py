"""Samples that went right -> wrong and wrong -> right, and the forgetting ledger."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from steelyard.harness.compare.deltas import MetricPair
from steelyard.harness.compare.scored import Scored
from steelyard.harness.compare.twins import by_every_name
from steelyard.harness.records import Flip, FlipCount, SampleRecord

#: Stands where a baseline file keeps no text.
NOT_KEPT = "(text not kept in the baseline file)"


@dataclass(frozen=True)
class FlippedSamples:
    """The ids of one metric's flipped samples; for a lower-is-better 0/1 metric, 0 is right."""

    task: str
    metric: str
    lost: tuple[str, ...]
    gained: tuple[str, ...]
    n: int
    right_before: int

    @property
    def count(self) -> FlipCount:
        """The ledger's line: P(wrong now | right before) is None where nothing was right."""
        rate = len(self.lost) / self.right_before if self.right_before else None
        return FlipCount(
            task=self.task,
            metric=self.metric,
            lost=len(self.lost),
            gained=len(self.gained),
            n=self.n,
            right_before=self.right_before,
            forgetting_rate=rate,
        )


def flipped(pair: MetricPair) -> FlippedSamples | None:
    """The flips of a 0/1 metric; None for other kinds and where nothing is paired."""
    score, paired = pair.baseline, pair.paired
    if score.kind != "accuracy" or not pair.testable or paired is None:
        return None
    right = 1.0 if score.higher_is_better else 0.0
    before, after = paired.baseline[:, 0] == right, paired.candidate[:, 0] == right
    ids = paired.sample_ids
    return FlippedSamples(
        task=score.task,
        metric=score.metric,
        lost=tuple(ids[i] for i in np.flatnonzero(before & ~after)),
        gained=tuple(ids[i] for i in np.flatnonzero(~before & after)),
        n=len(ids),
        right_before=int(before.sum()),
    )


def in_every_candidate(candidates: Sequence[FlippedSamples]) -> frozenset[str]:
    """Ids that flip the same way in every candidate; none where there is only one candidate."""
    if len(candidates) < 2:
        return frozenset()
    lost = frozenset.intersection(*(frozenset(f.lost) for f in candidates))
    return lost | frozenset.intersection(*(frozenset(f.gained) for f in candidates))


def with_answers(
    flipped: FlippedSamples,
    baseline: Scored,
    candidate: Scored,
    everywhere: Collection[str],
    limit: int | None,
) -> list[Flip]:
    """Flip records with both answers, those that flip in every candidate first.

    At most ``limit`` a direction; none where the candidate's samples were not kept.
    """
    before = by_every_name(baseline.samples_of(flipped.task))
    after = by_every_name(candidate.samples_of(flipped.task))
    flips: list[Flip] = []
    for direction, ids in _directions(flipped):
        answered = [id for id in ids if id in after]
        answered.sort(key=lambda id: (id not in everywhere, id))
        flips += [
            _flip(flipped, direction, before.get(id), after[id], id in everywhere)
            for id in answered[:limit]
        ]
    return flips


def _directions(
    flipped: FlippedSamples,
) -> tuple[tuple[Literal["lost", "gained"], tuple[str, ...]], ...]:
    return (("lost", flipped.lost), ("gained", flipped.gained))


def _flip(
    flipped: FlippedSamples,
    direction: Literal["lost", "gained"],
    before: SampleRecord | None,
    after: SampleRecord,
    everywhere: bool,
) -> Flip:
    slices: Mapping[str, str] = after.slices
    return Flip(
        task=flipped.task,
        metric=flipped.metric,
        sample_id=after.sample_id,
        direction=direction,
        prompt=after.prompt,
        target=after.target,
        baseline_response=NOT_KEPT if before is None else _answer(before),
        candidate_response=_answer(after),
        slices=slices,
        flips_in_every_candidate=everywhere,
    )


def _answer(sample: SampleRecord) -> str:
    return "\n".join(sample.responses)
