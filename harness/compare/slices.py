"""Slices of a task: the document fields that its samples carry, and quartiles of prompt length."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from steelyard.harness.compare.deltas import MetricPair, Settings, run_test, with_result
from steelyard.harness.compare.pairing import Paired
from steelyard.harness.compare.scored import Scored
from steelyard.harness.compare.twins import by_every_name
from steelyard.harness.errors import SteelyardError
from steelyard.harness.records import IN_TRAINING_DATA, Delta, SampleRecord

#: Smaller slices show nothing but noise: a flip of one sample in 10 is 10 points.
MIN_SAMPLES = 20
LENGTH = "prompt_length"
_QUARTILES = ("shortest quarter", "second quarter", "third quarter", "longest quarter")

Slices = Mapping[str, Sequence[int]]
"""``field=value`` -> indices into the pairs."""


@dataclass(frozen=True)
class Labelled:
    """The samples of one task with the slice fields that a comparison may cut by."""

    samples: Mapping[str, SampleRecord]
    """By either of their names."""
    disagreeing: Mapping[str, int]
    """Fields that the two runs fill in otherwise, and on how many samples: no slice is made."""
    unknown: bool = False
    """Whether only an imported candidate has the fields: whoever wrote its file chose them."""
    of_candidate: bool = False
    """Whether the baseline keeps no documents, so that the candidate's stand in for them."""
    candidate_fields: frozenset[str] = frozenset()
    """The fields of the candidate's own documents."""

    @property
    def names(self) -> list[str]:
        """Every ``field=value`` that a document has, sorted, whether it was scored or not."""
        pairs = {pair for sample in self.samples.values() for pair in sample.slices.items()}
        return sorted(f"{field}={value}" for field, value in pairs)


def labelled(baseline: Scored, candidate: Scored, task: str) -> Labelled:
    """The slice fields of the baseline's documents, which the candidate cannot choose.

    A candidate's own stand in where the baseline keeps no documents and the candidate was scored
    here (a sample is named by its document). Whether a sample is in a checkpoint's training data is
    a question about the candidate, and its own answer.
    """
    before = by_every_name(baseline.samples_of(task))
    after = by_every_name(candidate.samples_of(task))
    imported = candidate.run.imported_from is not None
    if not before:
        named = any(set(sample.slices) - {IN_TRAINING_DATA} for sample in after.values())
        unknown = imported and named
        return Labelled({} if unknown else after, {}, unknown, of_candidate=True)
    disagreeing: Counter[str] = Counter()
    for id, sample in before.items():
        theirs = after[id].slices if id in after else {}
        disagreeing.update(
            field
            for field, value in sample.slices.items()
            if field != IN_TRAINING_DATA and theirs.get(field, value) != value
        )
    return Labelled(
        {id: _with_labels(s, after.get(id), disagreeing) for id, s in before.items()},
        dict(disagreeing),
        candidate_fields=frozenset(field for sample in after.values() for field in sample.slices),
    )


def _with_labels(
    sample: SampleRecord, theirs: SampleRecord | None, leave_out: Collection[str]
) -> SampleRecord:
    own = {k: v for k, v in sample.slices.items() if k not in (*leave_out, IN_TRAINING_DATA)}
    inside = None if theirs is None else theirs.slices.get(IN_TRAINING_DATA)
    if inside is not None:
        own[IN_TRAINING_DATA] = inside
    return sample if own == sample.slices else sample.model_copy(update={"slices": own})


def slices_of(paired: Paired, samples: Mapping[str, SampleRecord]) -> Slices:
    """Every slice that is large enough to show something and is not the whole task."""
    n = len(paired.sample_ids)
    slices = all_slices(paired, samples)
    return {name: indices for name, indices in slices.items() if MIN_SAMPLES <= len(indices) < n}


def all_slices(paired: Paired, samples: Mapping[str, SampleRecord]) -> Slices:
    """Every slice of the paired samples, by document field and by prompt length, sorted."""
    slices: dict[str, list[int]] = {}
    for i, id in enumerate(paired.sample_ids):
        if id in samples:
            for name, value in samples[id].slices.items():
                slices.setdefault(f"{name}={value}", []).append(i)
    slices.update(_length_quartiles(paired, samples))
    return {name: slices[name] for name in sorted(slices)}


def _length_quartiles(paired: Paired, samples: Mapping[str, SampleRecord]) -> dict[str, list[int]]:
    ids = paired.sample_ids
    if not ids or not all(id in samples and samples[id].prompt for id in ids):
        return {}
    lengths = np.array([len(samples[id].prompt) for id in ids])
    cuts = np.quantile(lengths, [0.25, 0.5, 0.75])
    if lengths.min() == lengths.max():
        return {}
    quarter = np.searchsorted(cuts, lengths, side="left")
    return {
        f"{LENGTH}={name}": np.flatnonzero(quarter == i).tolist()
        for i, name in enumerate(_QUARTILES)
    }


def slice_deltas(pair: MetricPair, slices: Slices, settings: Settings) -> list[Delta]:
    """The difference within each slice; adjusted later, over all slices of the comparison."""
    if not pair.testable or pair.paired is None:
        return []
    whole = delta_of_slice(pair)
    deltas = []
    for name, indices in slices.items():
        try:
            result = run_test(pair.baseline, pair.paired, settings, subset=indices)
        except SteelyardError:
            continue
        delta = whole.model_copy(update={"slice": name, **_slice_means(pair, indices)})
        deltas.append(with_result(delta, result))
    return deltas


def delta_of_slice(pair: MetricPair) -> Delta:
    """The slice's record before its numbers."""
    score = pair.baseline
    return Delta(
        task=score.task,
        metric=score.metric,
        family=score.family,
        scale=score.scale,
        kind=score.kind,
        primary=score.primary,
        higher_is_better=score.higher_is_better,
        baseline=None,
        candidate=None,
        unit=score.unit,
    )


def _slice_means(pair: MetricPair, indices: Sequence[int]) -> dict[str, float]:
    """Both runs' means within the slice, where the score is a mean."""
    if pair.baseline.kind not in ("accuracy", "bounded") or pair.paired is None:
        return {}
    return {
        "baseline": float(pair.paired.baseline[indices].mean()),
        "candidate": float(pair.paired.candidate[indices].mean()),
    }
