"""The noise floor: how far the baseline is from itself when nothing that matters has changed.

A variant is the same checkpoint scored again with another dtype, few-shot order, prompt wording or
generation seed. A difference between two models that is no larger than what such a change makes is
not a claim about the models.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from steelyard.harness.compare.scored import RowKey, Scored
from steelyard.harness.errors import ConfigError
from steelyard.harness.records import Delta, Score

_FIELDS = {
    "dtype": "dtype",
    "few_shot_seed": "few-shot order",
    "few_shot": "few-shot examples",
    "task_digest": "prompt wording",
    "template": "chat template",
    "decoding": "generation seed or decoding",
    "backend": "backend",
}


@dataclass(frozen=True)
class NoiseFloor:
    """The largest change that a variant made, in the unit of a delta, and which variant it was."""

    size: float
    source: str


def noise_floors(baseline: Scored, variants: Sequence[Scored]) -> Mapping[RowKey, NoiseFloor]:
    """The floor of every metric that the baseline and a variant share.

    Raises ``ConfigError`` for a variant that is another checkpoint.
    """
    floors: dict[RowKey, NoiseFloor] = {}
    for variant in variants:
        if variant.run.checkpoint.digest != baseline.run.checkpoint.digest:
            raise ConfigError(
                f"'{variant.name}' is another checkpoint than the baseline '{baseline.name}'",
                fix="a noise floor is the baseline's own, scored again",
            )
        for score in baseline.run.scores:
            other = variant.scores_of(score.task).get(score.metric)
            size = None if other is None else _distance(score, other)
            held = floors.get((score.task, score.metric))
            if size is not None and (held is None or size > held.size):
                source = _noise_source(baseline, variant, score.task)
                floors[score.task, score.metric] = NoiseFloor(size, source)
    return floors


def _distance(score: Score, other: Score) -> float | None:
    if score.value is None or other.value is None:
        return None
    relative = score.kind == "ratio" or (score.kind == "perplexity" and score.scale != "bits")
    if not relative:
        return abs(other.value - score.value)
    if score.value <= 0 or other.value <= 0:
        return None
    return abs(math.log(other.value / score.value))


def _noise_source(baseline: Scored, variant: Scored, task: str) -> str:
    before, after = baseline.run.signature(task), variant.run.signature(task)
    if before is None or after is None:
        return variant.name
    changed = [
        f"{words} {getattr(after, field)}" if field == "dtype" else words
        for field, words in _FIELDS.items()
        if getattr(before, field) != getattr(after, field)
    ]
    return ", ".join(changed) or variant.name


def above_noise(delta: Delta, floors: Mapping[RowKey, NoiseFloor]) -> Delta:
    """``delta``, its claim withdrawn where the baseline moves as far by itself."""
    floor = floors.get((delta.task, delta.metric))
    if floor is None or delta.delta is None or abs(delta.delta) > floor.size * (1 + 1e-9):
        return delta
    if delta.verdict not in ("better", "worse"):
        return delta
    note = f"below the noise floor: {floor.source} alone moves the baseline by {floor.size:.3g}"
    notes = "; ".join(part for part in (delta.note, note) if part)
    return delta.model_copy(update={"verdict": "inconclusive", "note": notes})
