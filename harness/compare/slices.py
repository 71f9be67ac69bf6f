"""Slices of a task: the document fields that its samples carry, and quartiles of prompt length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from steelyard.harness.compare.deltas import MetricPair, Settings, run_test, with_result
from steelyard.harness.compare.pairing import Paired
from steelyard.harness.errors import SteelyardError
from steelyard.harness.records import Delta, SampleRecord

#: Smaller slices show nothing but noise: a flip of one sample in 10 is 10 points.
MIN_SAMPLES = 20
LENGTH = "prompt_length"
_QUARTILES = ("shortest quarter", "second quarter", "third quarter", "longest quarter")

Slices = Mapping[str, Sequence[int]]
"""``field=value`` -> indices into the pairs."""


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
