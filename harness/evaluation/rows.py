"""One task's answers -> samples, rows and scores.

A sample without a row is *unscored*: counted and flagged, never a zero. That is what happens to
NaN, to log-likelihoods that are equal on every choice (argmax would call the first one right), to
a document whose label is not among its choices, and to whatever a metric answers with None.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from steelyard.harness.errors import MetricError
from steelyard.harness.evaluation.answers import Answer, answer_of, json_document
from steelyard.harness.evaluation.measuring import naming, row_of
from steelyard.harness.evaluation.metric_choice import choose_metrics
from steelyard.harness.evaluation.scores import score_of
from steelyard.harness.plugins.names import is_built_in
from steelyard.harness.plugins.protocols import Metric, Sample
from steelyard.harness.records import Flag, Rows, SampleRecord, Score, flags_text, metric_name
from steelyard.harness.suites.built import BuiltTask
from steelyard.harness.suites.identity import sample_ids
from steelyard.harness.suites.metadata import CHOICE_METRICS, TaskMetadata

#: Of fewer documents a sound model may well answer all alike.
_FEWEST_ALIKE = 8


@dataclass(frozen=True)
class ScoredTask:
    """What one task gave for one checkpoint."""

    scores: tuple[Score, ...]
    rows: tuple[Rows, ...]
    samples: tuple[SampleRecord, ...]


def score_task(
    built: BuiltTask,
    entries: Sequence[Mapping[str, Any]],
    printed: Mapping[str, Any],
    count_tokens: Callable[[str], int],
    *,
    ids: Sequence[str] | None = None,
) -> ScoredTask:
    """Scores of a task from lm-eval's logged samples.

    ``entries`` are lm-eval's samples (one for each document and filter), ``printed`` its results
    (``"metric,filter"`` -> value), ``count_tokens`` the length of a response in tokens. ``ids``
    name the documents where they are a part of the task, whose duplicates were numbered before.
    """
    filters = list(dict.fromkeys(str(entry["filter"]) for entry in entries))
    scores: list[Score] = []
    rows: list[Rows] = []
    records: tuple[SampleRecord, ...] = ()
    for index, name in enumerate(filters):
        mine = [entry for entry in entries if entry["filter"] == name]
        answers = [answer_of(built, entry, count_tokens) for entry in mine]
        samples = _samples(built, mine, answers, ids)
        suffix = f",{name}" if len(filters) > 1 else ""
        alike = _all_alike(built, answers)
        for metric in choose_metrics(built, samples):
            unfit = (
                Flag.ONE_ANSWER if alike and metric.name in built.metadata.needs_variety else None
            )
            measured = _measure(metric, built, samples, answers, suffix, unfit)
            value = printed.get(f"{_source(metric)},{name}")
            score, kept = _scored(metric, built, samples, measured, value, first=index == 0)
            scores.append(score)
            if kept is not None:
                rows.append(kept)
        if index == 0:
            records = tuple(map(_record, [built] * len(mine), samples, answers))
    return ScoredTask(_with_a_primary(scores, built), tuple(rows), records)


def _samples(
    built: BuiltTask,
    entries: Sequence[Mapping[str, Any]],
    answers: Sequence[Answer],
    ids: Sequence[str] | None,
) -> list[Sample]:
    contents = [
        (entry["doc"], answer.prompt, answer.target)
        for entry, answer in zip(entries, answers, strict=True)
    ]
    return [
        Sample(
            task=built.name,
            sample_id=sample_id,
            document=entry["doc"] if isinstance(entry["doc"], Mapping) else {"text": entry["doc"]},
            prompt=answer.prompt,
            target=answer.target,
            values={name: entry[name] for name in entry["metrics"]},
        )
        for entry, answer, sample_id in zip(
            entries, answers, ids or sample_ids(contents), strict=True
        )
    ]


def _record(built: BuiltTask, sample: Sample, answer: Answer) -> SampleRecord:
    return SampleRecord(
        task=built.name,
        sample_id=sample.sample_id,
        prompt=answer.prompt,
        target=answer.target,
        responses=answer.shown,
        document=json_document(sample.document),
        slices=built.metadata.slices_of(sample.document),
        cluster=built.metadata.cluster_of(sample.document),
    )


def _without_reference(metric: Metric, sample: Sample) -> Flag | None:
    """An empty answer equals an empty reference, which says nothing of the model.

    BLEU, chrF, TER and ROUGE look for themselves: their references come with the values.
    """
    compares = metric.name == "exact_match"
    return Flag.EMPTY_REFERENCE if compares and not sample.target.strip() else None


def _measure(
    metric: Metric,
    built: BuiltTask,
    samples: Sequence[Sample],
    answers: Sequence[Answer],
    suffix: str,
    unfit: Flag | None,
) -> Rows:
    """Rows of one metric; a sample whose answer is unusable has none, whatever it would score.

    ``unfit`` says why no answer of this model may be measured.
    """
    import numpy as np

    found: list[Sequence[float] | None] = []
    flags: list[str] = []
    for sample, answer in zip(samples, answers, strict=True):
        flag = answer.unusable or unfit or _without_reference(metric, sample)
        row = None if flag else row_of(metric, sample, answer.raw)
        if row is not None and not all(map(math.isfinite, row)):
            row, flag = None, Flag.NOT_A_NUMBER
        elif row is None:
            flag = flag or Flag.UNSCORED
        found.append(row)
        marks = (flag, Flag.LENGTH_LIMIT if answer.cut else None)
        flags.append(flags_text(mark for mark in marks if mark is not None))
    width = _width(metric, built.name, found)
    values = np.full((len(found), width), np.nan)
    for index, row in enumerate(found):
        if row is not None:
            values[index] = row
    return Rows(
        task=built.name,
        metric=metric.name + suffix,
        sample_ids=tuple(sample.sample_id for sample in samples),
        values=values,
        scored=np.array([row is not None for row in found], dtype=np.bool_),
        flags=tuple(flags),
        clusters=tuple(built.metadata.cluster_of(sample.document) for sample in samples),
    )


def _width(metric: Metric, task: str, rows: Sequence[Sequence[float] | None]) -> int:
    """How many numbers each row has; one where there is no row."""
    widths = {len(row) for row in rows if row is not None} or {1}
    with naming(metric, task, "its rows are not alike"):
        if len(widths) > 1:
            raise MetricError(f"they hold {' and '.join(map(str, sorted(widths)))} numbers")
    return widths.pop()


def _all_alike(built: BuiltTask, answers: Sequence[Answer]) -> bool:
    """Whether a model gives one and the same text to every prompt of enough documents."""
    if built.output_type != "generate_until" or len(answers) < _FEWEST_ALIKE:
        return False
    return len({str(text).strip() for answer in answers for text in answer.raw}) == 1


def _scored(
    metric: Metric,
    built: BuiltTask,
    samples: Sequence[Sample],
    rows: Rows,
    printed: Any,
    *,
    first: bool,
) -> tuple[Score, Rows | None]:
    with naming(metric, built.name, f"its {rows.scored.sum()} rows give no score"):
        score = score_of(metric, rows, samples)
    whole = bool(rows.scored.all())
    own = _number(printed)
    kept: Rows | None = rows
    is_theirs = is_built_in(metric) and score.kind != "calibration"
    if whole and own is not None and is_theirs and not _same(score.value, own):
        # The task aggregates in a way of its own: its value stands, without rows that would
        # make another one of it. A metric of another package is there to aggregate otherwise.
        note = "the task's own aggregate: no interval and no paired test"
        score = score.model_copy(update={"value": own, "low": None, "high": None, "note": note})
        kept = None
    meta = built.metadata
    base = metric.name
    is_primary = meta.primary in (rows.metric, base if first else rows.metric)
    floored = is_primary or (base in CHOICE_METRICS and meta.primary in (None, *CHOICE_METRICS))
    update = {
        "family": meta.family,
        "primary": is_primary,
        "chance": meta.chance if floored else meta.chances.get(base),
        "majority": meta.majority if floored else None,
    }
    return advised(score.model_copy(update=update), meta), kept


def advised(score: Score, metadata: TaskMetadata) -> Score:
    """The score, marked where its task says that it is shown and never gated on."""
    if not metadata.is_advisory(metric_name(score.metric)):
        return score
    note = "; ".join(filter(None, ("advisory: shown, never gated on", score.note)))
    return score.model_copy(update={"advisory": True, "note": note})


def _with_a_primary(scores: list[Score], built: BuiltTask) -> tuple[Score, ...]:
    """A task whose YAML names no primary metric is represented by its first."""
    if not scores or any(score.primary for score in scores):
        return tuple(scores)
    if built.metadata.primary is not None:
        raise MetricError(
            f"task '{built.name}' gave no metric '{built.metadata.primary}'",
            key="metadata.steelyard.primary",
            fix="it gave " + ", ".join(score.metric for score in scores),
        )
    meta = built.metadata
    head = scores[0].model_copy(
        update={"primary": True, "chance": meta.chance, "majority": meta.majority}
    )
    return (head, *scores[1:])


def _source(metric: Metric) -> str:
    return str(getattr(metric, "source", metric.name))


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _same(ours: float | None, theirs: float) -> bool:
    return ours is not None and math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-12)
