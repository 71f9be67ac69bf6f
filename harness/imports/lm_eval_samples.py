"""lm-eval's ``samples_*.jsonl`` of one task: a row for each document and metric.

Samples pair by lm-eval's hashes of document, prompt and target; a file without them (older, or
written by others) is hashed here.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

from steelyard.harness.errors import DataError, MetricError, located
from steelyard.harness.evaluation import (
    advised,
    as_lm_eval_measures,
    json_document,
    load_metric,
    metric_for,
    row_or_none,
    score_of,
)
from steelyard.harness.files import records
from steelyard.harness.files.old_names import with_present_names
from steelyard.harness.imports.imported import rows_from
from steelyard.harness.imports.lm_eval_entries import (
    Entry,
    content_ids,
    document_of,
    log_likelihoods,
    ready_metrics,
    require_once,
    samples_of,
    shown_responses,
)
from steelyard.harness.imports.lm_eval_results import (
    PRIMARY,
    Results,
    aggregates,
    signature_of,
)
from steelyard.harness.imports.numbers import number
from steelyard.harness.plugins import Metric, Sample, plugin_names
from steelyard.harness.records import (
    IMPORTED,
    IN_TRAINING_DATA,
    Flag,
    Rows,
    SampleRecord,
    Score,
    TaskSignature,
    flags_in,
    flags_text,
    metric_name,
)
from steelyard.harness.suites import (
    TaskMetadata,
    asked_content,
    content_digest,
    documents_digest,
    joined_by_content,
    task_metadata,
)


@dataclass(frozen=True)
class ImportedTask:
    """One task of a results file with the rows of its samples."""

    scores: tuple[Score, ...]
    rows: tuple[Rows, ...]
    samples: tuple[SampleRecord, ...]
    signature: TaskSignature
    remarks: tuple[str, ...]
    fields: frozenset[str]
    """Of its documents."""


def read_task(
    results: Results,
    task: str,
    path: Path,
    *,
    cluster: str | None = None,
    slices: Sequence[str] = (),
) -> ImportedTask:
    """The task's scores and rows from its samples file.

    A number that the rows do not give (an aggregate of the task's own) stands without rows. Where
    the file holds fewer samples than lm-eval scored, the score keeps lm-eval's count, so that no
    comparison takes the rest for the whole.

    ``cluster`` and ``slices`` name fields of the documents; a task without them goes without.

    Raises ``DataError`` where the file is damaged or holds a document twice; whoever calls names
    the file.
    """
    entries = [with_present_names(entry) for _, entry in records(path, results=True)]
    if not entries:
        raise DataError("holds no samples")
    fields = frozenset(str(key) for entry in entries for key in document_of(entry))
    metadata = _metadata(results, task, fields, cluster, slices)
    filters = list(dict.fromkeys(str(entry.get("filter", "none")) for entry in entries))
    scores: list[Score] = []
    rows: list[Rows] = []
    held: tuple[SampleRecord, ...] = ()
    measured: set[str] = set()
    content = ""
    for name in filters:
        mine = [entry for entry in entries if str(entry.get("filter", "none")) == name]
        require_once(mine, name)
        samples = samples_of(task, mine)
        suffix = f",{name}" if len(filters) > 1 else ""
        for metric, metric_rows in _measured_metrics(results, task, mine, samples, metadata):
            measured |= {metric.name + suffix, str(getattr(metric, "source", metric.name)) + suffix}
            renamed = Rows(**{**vars(metric_rows), "metric": metric.name + suffix})
            try:
                score, is_whole = _score_again(results, metadata, metric, renamed, samples, name)
            except (IndexError, ValueError, TypeError) as error:
                what = f"'{renamed.metric}' cannot be aggregated ({error})"
                raise DataError(what) from error
            scores.append(score)
            if is_whole:
                rows.append(renamed)
        if name == filters[0]:
            twins = content_ids(mine, results.task_config(task))
            held = tuple(
                _sample_record(entry, sample, metadata).model_copy(update={"twin_id": twin})
                for entry, sample, twin in zip(mine, samples, twins, strict=True)
            )
            content = documents_digest(content_digest(entry.get("doc")) for entry in mine)
    # lm-eval's own standard errors give way to intervals from rows; what has no rows keeps them.
    bare = [s for s in aggregates(results, task) if s.metric.replace("_stderr", "") not in measured]
    documents = {str(e.get("doc_hash") or content_digest(e.get("doc"))) for e in entries}
    return ImportedTask(
        scores=_with_primary([*scores, *bare], metadata),
        rows=tuple(rows),
        samples=held,
        signature=signature_of(results, task, documents_digest(documents), content),
        remarks=_task_remarks(results, task, len(held), path),
        fields=fields,
    )


def _metadata(
    results: Results,
    task: str,
    fields: Collection[str],
    cluster: str | None,
    slices: Sequence[str],
) -> TaskMetadata:
    """What the task's dumped configuration says for our reports, and what the user adds."""
    config = SimpleNamespace(metadata=results.task_config(task).get("metadata"))
    with located(file=f"task {task}"):
        metadata = task_metadata(SimpleNamespace(config=config), task)
    update: dict[str, object] = {
        "slices": tuple(
            dict.fromkeys([*metadata.slices, *(name for name in slices if name in fields)])
        )
    }
    if cluster in fields:
        update["cluster"] = cluster
    return metadata.model_copy(update=update)


def _measured_metrics(
    results: Results,
    task: str,
    entries: Sequence[Entry],
    samples: Sequence[Sample],
    metadata: TaskMetadata,
) -> list[tuple[Metric, Rows]]:
    measured = []
    ready = {name for entry in entries for name in ready_metrics(entry)}
    for name in dict.fromkeys(name for sample in samples for name in sample.values):
        metric = _metric_named(results, task, name, samples, metadata, is_ready=name in ready)
        if metric is not None:
            measured.append((metric, _rows_of_metric(metric, name, entries, samples, metadata)))
    return measured


def _metric_named(
    results: Results,
    task: str,
    name: str,
    samples: Sequence[Sample],
    metadata: TaskMetadata,
    *,
    is_ready: bool,
) -> Metric | None:
    first = next((s for s in samples if s.values.get(name) is not None), None)
    if first is None:
        return None
    if is_ready:
        return load_metric(name) if name in plugin_names("metrics") else None
    better = results.higher_is_better(task, name)
    metric = metric_for(name, better, first, metadata.graded)
    if metric is not None and row_or_none(metric, first) is None:
        # A plugin that reads the model's answers, which are not at hand: the number itself.
        metric = metric_for(name, better, first, {name})
    return None if metric is None else as_lm_eval_measures(metric)


def _rows_of_metric(
    metric: Metric,
    name: str,
    entries: Sequence[Entry],
    samples: Sequence[Sample],
    metadata: TaskMetadata,
) -> Rows:
    values: list[Sequence[float] | None] = []
    flags: list[str] = []
    for entry, sample in zip(entries, samples, strict=True):
        choices = log_likelihoods(entry)
        marks = entry.get("steelyard_flags") or {}
        value = sample.values.get(name)
        ready = name in ready_metrics(entry)
        row = None if value is None else _ready(value) if ready else row_or_none(metric, sample)
        own = flags_in(str(marks.get(name) or "")) if isinstance(marks, Mapping) else ()
        if len(choices) > 1 and len(set(choices)) == 1:
            # The first choice would win, whatever it says.
            row, own = None, (Flag.TIED,)
        elif any(math.isnan(choice) or choice == math.inf for choice in choices):
            # argmax takes NaN for the highest: the choice it is about would win, or lose, by it.
            row, own = None, (Flag.NOT_A_NUMBER,)
        elif row is not None and not all(map(math.isfinite, row)):
            row, own = None, (Flag.NOT_A_NUMBER,)
        elif row is None:
            own = own or (Flag.UNSCORED,)
        values.append(row)
        flags.append(flags_text(own))
    if len({len(row) for row in values if row is not None}) > 1:
        raise DataError(f"'{name}' of {samples[0].task} has rows of unequal length")
    return rows_from(
        samples[0].task,
        metric.name,
        [sample.sample_id for sample in samples],
        values,
        clusters=joined_by_content(
            [asked_content(s.prompt, s.target, s.document) for s in samples],
            [metadata.cluster_of(sample.document) for sample in samples],
        ),
        flags=flags,
    )


def _ready(value: object) -> Sequence[float] | None:
    """A row that stands in the file as it is (`steelyard export`)."""
    numbers = [number(part) for part in value] if isinstance(value, list) else []
    return [part for part in numbers if part is not None] or None


def _score_again(
    results: Results,
    metadata: TaskMetadata,
    metric: Metric,
    rows: Rows,
    samples: Sequence[Sample],
    filter_name: str,
) -> tuple[Score, bool]:
    """The score of the rows, and whether they carry it."""
    try:
        score = score_of(metric, rows, samples)
    except MetricError:
        # A metric's signature is read from texts, and rows that came ready made have none.
        score = score_of(metric, rows)
    family = metadata.family if "family" in metadata.model_fields_set else IMPORTED
    score = score.model_copy(update={"family": family})
    source = str(getattr(metric, "source", metric.name))
    printed = results.printed(rows.task, source, filter_name)
    effective = results.effective(rows.task)
    if effective is not None and effective != len(rows.sample_ids):
        # The rest is not the whole: lm-eval's own figure, which the rows no longer give.
        update: dict[str, object] = {
            "n": max(effective - score.unscored, 0),
            "value": score.value if printed is None else printed,
        }
        return score.model_copy(update=update), True
    if not rows.scored.all() or printed is None or score.kind == "calibration":
        return score, True
    if score.value is not None and math.isclose(score.value, printed, rel_tol=1e-9, abs_tol=1e-12):
        return score, True
    note = "lm-eval's own aggregate, which its samples do not give: no paired test"
    update = {"value": printed, "low": None, "high": None, "note": note}
    return score.model_copy(update=update), False


def _with_primary(scores: Sequence[Score], metadata: TaskMetadata) -> tuple[Score, ...]:
    """Scores as the task's metadata describes them."""
    primary = _primary_name([score.metric for score in scores], metadata)
    marked = []
    for score in scores:
        update: dict[str, object] = {"primary": score.metric == primary}
        if score.metric == primary:
            update |= {"chance": metadata.chance, "majority": metadata.majority}
        marked.append(advised(score.model_copy(update=update), metadata))
    return tuple(marked)


def _primary_name(names: Sequence[str], metadata: TaskMetadata) -> str:
    for wanted in (metadata.primary, *PRIMARY):
        for name in names:
            if wanted is not None and wanted in (name, metric_name(name)):
                return name
    return names[0]


def _sample_record(entry: Entry, sample: Sample, metadata: TaskMetadata) -> SampleRecord:
    return SampleRecord(
        task=sample.task,
        sample_id=sample.sample_id,
        prompt=sample.prompt,
        target=sample.target,
        responses=shown_responses(entry),
        document=json_document(sample.document),
        slices=metadata.slices_of(sample.document) | _of_the_checkpoint(entry),
        cluster=metadata.cluster_of(sample.document),
    )


def _of_the_checkpoint(entry: Entry) -> dict[str, str]:
    """Whether it was trained on the sample, where `steelyard export` wrote that."""
    inside = entry.get("steelyard_in_training_data")
    return {IN_TRAINING_DATA: inside} if inside in ("yes", "no") else {}


def _task_remarks(results: Results, task: str, held: int, path: Path) -> tuple[str, ...]:
    effective = results.effective(task)
    if effective is None or effective == held:
        return ()
    line = f"{task}: lm-eval scored {effective} samples, {path.name} holds {held}"
    return (f"{line}: a gate will call it not comparable",)
