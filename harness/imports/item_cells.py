"""Cells that a table does not have as columns: keys within objects, and exact match."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from steelyard.harness.errors import Collected, DataError, did_you_mean
from steelyard.harness.imports.item_columns import ItemColumns, MetricColumn, Record, Table
from steelyard.harness.plugins import Metric, Sample, load_plugin

EXACT_MATCH = "exact_match"


def with_nested_keys(table: Table, columns: ItemColumns) -> Table:
    """The table with a column for each named one that is a path: ``meta.id`` of ``{"meta": {}}``.

    A key that is written with its dots comes first, in every row where any row has it: one column
    never comes from two places.
    """
    there = {name for _, record in table for name in record}
    paths = [n for n in _named_columns(columns) if "." in n and n not in there]
    paths = [n for n in paths if any(_has(record, n) for _, record in table)]
    if not paths:
        return table
    return [
        (place, {**record, **{path: _within(record, path) for path in paths}})
        for place, record in table
    ]


def _named_columns(columns: ItemColumns) -> Iterable[str]:
    single = (columns.id, columns.task, columns.cluster, columns.prompt, columns.target)
    several = (*columns.slices, *columns.equals, *(c for m in columns.metrics for c in m.columns))
    named = (*single, columns.response, *several)
    return dict.fromkeys(name for name in named if name is not None)


def _has(record: Record, path: str) -> bool:
    value: object = record
    for key in path.split("."):
        if not isinstance(value, Mapping) or key not in value:
            return False
        value = value[key]
    return True


def _within(record: Record, path: str) -> object:
    value: object = record
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def with_exact_match(table: Table, columns: ItemColumns) -> tuple[Table, ItemColumns]:
    """The table with ``exact_match``: whether the prediction's cell is the answer's text.

    Measured by the metric of that name: spaces around a text and forms of one character do not
    count, letters' case does. Raises ``DataError`` for columns that are not there, and by row for
    a cell that is missing; an empty text is a prediction.
    """
    if not columns.equals:
        return table, columns
    there = list(dict.fromkeys(name for _, record in table for name in record))
    problems = Collected()
    for name in columns.equals:
        if name not in there:
            fix = did_you_mean(name, there)
            problems.errors.append(DataError(f"no column '{name}'", fix=fix, key="--equals"))
    if EXACT_MATCH in there:
        what = f"a column '{EXACT_MATCH}' is there already"
        fix = f"take it with --metric {EXACT_MATCH}, or rename it"
        problems.errors.append(DataError(what, fix=fix, key="--equals"))
    problems.raise_any()
    metric: Metric = load_plugin("metrics", EXACT_MATCH)()
    rows = []
    for place, record in table:
        with problems.of(key=place):
            rows.append((place, {**record, EXACT_MATCH: _match(metric, record, columns.equals)}))
    problems.raise_any()
    prediction, answer = columns.equals
    measured = replace(
        columns,
        metrics=(MetricColumn(EXACT_MATCH, (EXACT_MATCH,), "accuracy"), *columns.metrics),
        target=columns.target or answer,
        response=columns.response or prediction,
    )
    return rows, measured


def _match(metric: Metric, record: Record, equals: tuple[str, ...]) -> float:
    prediction, answer = (_text(record.get(name), name) for name in equals)
    if not answer.strip():
        fix = "give the item its answer, or leave it out of both files"
        raise DataError(f"'{equals[1]}' is empty", fix=fix)
    values = {EXACT_MATCH: ([answer], prediction)}
    row = metric.measure(Sample("items", "", {}, "", answer, values), ())
    if row is None:
        raise DataError("cannot be held against its answer", fix="leave the item out of both files")
    return float(row[0])


def _text(cell: object, name: str) -> str:
    """A cell as text; 4 and 4.0 are one number, whatever a column of gaps made of it."""
    if cell is None or cell != cell:
        fix = "an answer that was not given is no wrong one: leave the item out of both files"
        raise DataError(f"'{name}' is missing", fix=fix)
    if isinstance(cell, bool | list | Mapping):
        fix = "write it as text in both columns"
        raise DataError(f"'{name}' is no text and no number", value=cell, fix=fix)
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell)
