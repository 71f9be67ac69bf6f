"""A CSV or JSONL file (or TSV, Parquet) with the scores of each item.

    id,task,subject,acc,log_likelihood,words
    q1,exam,law,1,-12.5,9

``MetricColumn.parse`` reads ``acc``, ``acc:accuracy``, ``acc=correct`` or
``word_perplexity=log_likelihood,words:perplexity``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from steelyard.harness.errors import Collected, DataError, StatisticsError, located
from steelyard.harness.evaluation import json_document, score_of
from steelyard.harness.files import records
from steelyard.harness.imports.imported import (
    EXPERIMENT,
    UNKNOWN,
    Imported,
    Model,
    Source,
    imported_run,
    plain_name,
    rows_from,
)
from steelyard.harness.imports.item_cells import with_exact_match, with_nested_keys
from steelyard.harness.imports.item_columns import (
    ItemColumns,
    MetricColumn,
    Record,
    Table,
    is_row_number,
    require_ids,
    require_numbers,
    resolved,
)
from steelyard.harness.imports.kinds import table_metric
from steelyard.harness.imports.numbers import cell_number
from steelyard.harness.records import IMPORTED, Kind, Rows, SampleRecord, Score, TaskSignature
from steelyard.harness.stats import check_rows
from steelyard.harness.suites import (
    asked_content,
    documents_digest,
    joined_by_content,
    sample_ids,
)

#: Kinds of which less is better unless the user says otherwise.
_LOWER: tuple[Kind, ...] = ("perplexity", "ratio")
#: ... and words in a metric's name that say so.
_LOWER_WORDS = frozenset(
    (
        *("loss", "nll", "error", "errors", "err", "mae", "mse", "rmse", "brier", "ece", "kl"),
        *("perplexity", "ppl", "wer", "cer", "ter", "distance", "latency", "seconds", "cost"),
        *("toxicity", "hallucination", "hallucinations"),
    )
)
TASK = "items"


@dataclass(frozen=True)
class ItemSettings:
    """How the run is called, and what stands in its signature."""

    name: str | None = None
    experiment: str = EXPERIMENT
    task: str = TASK
    """The task's name where no column holds one."""
    version: str | None = None


@dataclass
class _Task:
    name: str
    records: list[Record] = field(default_factory=list)


def read_items(path: Path, columns: ItemColumns, settings: ItemSettings | None = None) -> Imported:
    """The table as a run. Items pair by id, and by prompt and target where there are any.

    Raises ``DataError``, a line for each, for a column that is not there, an id that stands twice,
    a cell that is missing or no finite number, and a value that its kind does not allow.
    """
    settings = settings or ItemSettings()
    with located(file=path):
        table = with_nested_keys(list(records(path, results=True)), columns)
        table, columns = with_exact_match(table, columns)
        columns, tasks = _tasks(table, columns, settings)
        measured = _measured_tasks(tasks, columns)
    scores = [score for pairs in measured for score, _ in pairs]
    rows = [held for pairs in measured for _, held in pairs]
    samples: list[SampleRecord] = []
    signatures: list[TaskSignature] = []
    for task in tasks:
        ids = _ids(task.records, columns)
        samples += [
            _item_sample(task.name, i, r, columns) for i, r in zip(ids, task.records, strict=True)
        ]
        signatures.append(_item_signature(task, columns, settings))
    run = imported_run(
        Source(path.suffix.lstrip(".") or "table", (path,)),
        candidate=settings.name or plain_name(path.stem),
        experiment=settings.experiment,
        suite="items",
        model=Model(settings.name or path.stem),
        scores=scores,
        signatures=signatures,
        options={"columns": repr(columns), "task": settings.task, "version": settings.version},
    )
    return Imported(run, tuple(rows), tuple(samples), _remarks(table, columns))


def _remarks(table: Table, columns: ItemColumns) -> tuple[str, ...]:
    """What was made of columns by their names: pandas' index, and where less is better."""
    used = {name for metric in columns.metrics for name in metric.columns}
    left_out = [name for name in table[0][1] if is_row_number(name) and name not in used]
    what = "the number of the row that pandas writes, not a metric; give it a name to take it in"
    lower = [m.name for m in columns.metrics if _is_lower_by_name(m.name, columns)]
    less = "less is better, as its name says; rename the column if more is"
    return (
        *(f"column '{name}' left out: {what}" for name in left_out),
        *(f"metric '{name}': {less}" for name in lower),
    )


def _is_lower_by_name(name: str, columns: ItemColumns) -> bool:
    words = re.split(r"[^a-z]+", name.lower())
    return name not in columns.lower and not _LOWER_WORDS.isdisjoint(words)


def _tasks(
    table: Table, columns: ItemColumns, settings: ItemSettings
) -> tuple[ItemColumns, list[_Task]]:
    """Which column is what, and the rows of each task. Raises every mistake of the table."""
    if not table:
        raise DataError("the file has no rows")
    columns = resolved(columns, table)
    problems = Collected()
    with problems.of():
        require_numbers(table, columns)
    with problems.of():
        require_ids(table, columns)
    problems.raise_any()
    tasks: dict[str, _Task] = {}
    for _, record in table:
        name = _task_of(record, columns, settings)
        tasks.setdefault(name, _Task(name)).records.append(record)
    return columns, list(tasks.values())


def _task_of(record: Record, columns: ItemColumns, settings: ItemSettings) -> str:
    return settings.task if columns.task is None else str(record.get(columns.task)).strip()


def _ids(held: Sequence[Record], columns: ItemColumns) -> list[str]:
    return sample_ids(
        [
            (
                str(r[columns.id]).strip(),
                _column_text(r, columns.prompt),
                _column_text(r, columns.target),
            )
            for r in held
        ]
    )


def _column_text(record: Record, column: str | None) -> str:
    """The text of a cell; of one that is missing none. NaN is how pandas writes a missing one."""
    value = None if column is None else record.get(column)
    missing = value is None or (isinstance(value, float) and math.isnan(value))
    return "" if missing else str(value)


def _measured_tasks(tasks: Sequence[_Task], columns: ItemColumns) -> list[list[tuple[Score, Rows]]]:
    """Each task's scores and rows, metric by metric. Raises what a kind does not allow."""
    problems = Collected()
    measured: list[list[tuple[Score, Rows]]] = []
    for task in tasks:
        measured.append([])
        ids = _ids(task.records, columns)
        for metric in columns.metrics:
            with problems.of(key="--metric"):
                measured[-1].append(_measured_column(task, ids, metric, columns))
    problems.raise_any()
    return measured


def _measured_column(
    task: _Task, ids: Sequence[str], metric: MetricColumn, columns: ItemColumns
) -> tuple[Score, Rows]:
    values = [[cell_number(r.get(c)) or 0.0 for c in metric.columns] for r in task.records]
    kind = metric.kind or _kind_of(metric.name, values)
    try:
        check_rows(values, kind, f"'{metric.name}' of {task.name}")
    except StatisticsError as error:
        raise DataError(str(error)) from error
    higher = metric.name not in columns.lower and kind not in _LOWER
    higher = higher and not _is_lower_by_name(metric.name, columns)
    clusters = joined_by_content(
        [
            asked_content(_column_text(r, columns.prompt), _column_text(r, columns.target), r)
            for r in task.records
        ],
        [_column_text(r, columns.cluster) or None for r in task.records],
    )
    rows = rows_from(task.name, metric.name, ids, values, clusters=clusters)
    score = score_of(table_metric(metric.name, kind, higher), rows)
    is_first = metric == columns.metrics[0]
    update = {"primary": is_first, "family": IMPORTED, "kind": kind}
    return score.model_copy(update=update), rows


def _kind_of(name: str, values: Sequence[Sequence[float]]) -> Kind:
    """``accuracy`` where all is 0 or 1. Raises ``DataError`` where -1 stands beside them: tools
    write it for an item that they could not score, and a mean would take it for a score.
    """
    held = {value for row in values for value in row}
    if held <= {0.0, 1.0}:
        return "accuracy"
    if len(held) > 1 and held <= {-1.0, 0.0, 1.0}:
        raise DataError(
            f"'{name}' is -1 beside 0 and 1: a score, or an item that was not scored?",
            fix=f"leave such items out, or write --metric {name}:bounded where -1 is a score",
        )
    return "bounded"


def _item_sample(task: str, id: str, record: Record, columns: ItemColumns) -> SampleRecord:
    return SampleRecord(
        task=task,
        sample_id=id,
        prompt=_column_text(record, columns.prompt),
        target=_column_text(record, columns.target),
        responses=(_column_text(record, columns.response),) if columns.response else (),
        document=json_document({"id": str(record[columns.id])}),
        slices={
            name: _column_text(record, name)
            for name in columns.slices
            if _column_text(record, name)
        },
        cluster=_column_text(record, columns.cluster) or None,
    )


def _item_signature(task: _Task, columns: ItemColumns, settings: ItemSettings) -> TaskSignature:
    version = settings.version or UNKNOWN
    return TaskSignature(
        task=task.name,
        task_digest=f"version {version}",
        data_digest=documents_digest(str(record[columns.id]) for record in task.records),
        few_shot=0,
        tokenizer=UNKNOWN,
        dtype=UNKNOWN,
        backend=UNKNOWN,
        parity=None,
    )
