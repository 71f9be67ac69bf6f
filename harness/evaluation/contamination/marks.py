"""Marks what a checkpoint was trained on: slices of its samples, and a record for its run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from steelyard.harness.errors import SteelyardError
from steelyard.harness.evaluation.answers import json_document
from steelyard.harness.evaluation.contamination.overlaps import Overlaps
from steelyard.harness.evaluation.measuring import value_of
from steelyard.harness.evaluation.metric_choice import load_metric
from steelyard.harness.records import (
    IN_TRAINING_DATA,
    Contaminated,
    Kind,
    Rows,
    SampleRecord,
    Score,
)
from steelyard.harness.suites import BuiltSuite, BuiltTask, content_digest

if TYPE_CHECKING:
    from steelyard.harness.evaluation.evaluating import Evaluation
    from steelyard.harness.plugins import DataSource

_MEANS: tuple[Kind, ...] = ("accuracy", "bounded")


def marked(
    evaluation: Evaluation, suite: BuiltSuite, overlaps: Overlaps, sources: Sequence[DataSource]
) -> tuple[Evaluation, tuple[Contaminated, ...]]:
    """The evaluation with two slices where a task's items are in ``sources``, and how many are.

    Raises ``DataError`` for data that cannot be read.
    """
    held: dict[str, tuple[np.ndarray[tuple[int], np.dtype[np.bool_]], list[str]]] = {}
    for source in sources:
        for task, overlap in overlaps.of(source):
            if overlap.contaminated.any():
                before, names = held.get(task, (np.zeros_like(overlap.contaminated), []))
                held[task] = (before | overlap.contaminated, [*names, source.name])
    if not held:
        return evaluation, ()
    tasks = {task.name: task for task in suite.tasks}
    inside = {
        name: _inside(tasks[name], mask, [s for s in evaluation.samples if s.task == name])
        for name, (mask, _) in held.items()
    }
    samples = tuple(_sliced(sample, inside) for sample in evaluation.samples)
    records = tuple(
        _contaminated_task(name, mask, names, replace(evaluation, samples=samples))
        for name, (mask, names) in held.items()
    )
    return replace(evaluation, samples=samples), records


def _inside(
    task: BuiltTask,
    mask: np.ndarray[tuple[int], np.dtype[np.bool_]],
    samples: Sequence[SampleRecord],
) -> set[str]:
    """Ids of the samples whose documents are in the data."""
    if task.first is not None and samples:
        # They hold the second pass's documents, which the model's own answers changed; they are
        # as many as the task's documents and stand in their order (an unscored one too).
        return {s.sample_id for s, is_held in zip(samples, mask, strict=True) if is_held}
    documents = (task.documents[int(index)] for index in np.flatnonzero(mask))
    digests = {content_digest(json_document(_mapping(document))) for document in documents}
    return {s.sample_id for s in samples if content_digest(s.document) in digests}


def _mapping(document: object) -> Mapping[str, object]:
    """As a sample's record holds it."""
    return document if isinstance(document, Mapping) else {"text": document}


def _sliced(sample: SampleRecord, contaminated: Mapping[str, set[str]]) -> SampleRecord:
    if sample.task not in contaminated:
        return sample
    inside = sample.sample_id in contaminated[sample.task]
    slices = {**sample.slices, IN_TRAINING_DATA: "yes" if inside else "no"}
    return sample.model_copy(update={"slices": slices})


def _contaminated_task(
    task: str,
    mask: np.ndarray[tuple[int], np.dtype[np.bool_]],
    names: Sequence[str],
    evaluation: Evaluation,
) -> Contaminated:
    score = next((s for s in evaluation.scores if s.task == task and s.primary), None)
    rows = next(
        (r for r in evaluation.rows if score and (r.task, r.metric) == (task, score.metric)), None
    )
    clean = within = None
    if score is not None and rows is not None:
        inside = {
            s.sample_id
            for s in evaluation.samples
            if s.task == task and s.slices.get(IN_TRAINING_DATA) == "yes"
        }
        part = np.array([sample_id in inside for sample_id in rows.sample_ids])
        clean, within = (_value(score, rows, chosen & rows.scored) for chosen in (~part, part))
    return Contaminated(
        task=task,
        items=len(mask),
        contaminated=int(mask.sum()),
        data=tuple(names),
        metric=score.metric if score is not None else None,
        clean=clean,
        within=within,
    )


def _value(
    score: Score, rows: Rows, chosen: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> float | None:
    """The metric over a part of its rows; None where there are none."""
    if not chosen.any():
        return None
    if score.kind in _MEANS:
        return float(rows.values[chosen, 0].mean())
    try:
        return value_of(load_metric(score.metric), rows.values[chosen], rows.task)
    except SteelyardError:
        return None
