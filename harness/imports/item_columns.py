"""Which column of a table is what, and whether its cells can be scored at all."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from steelyard.harness.errors import Collected, ConfigError, DataError, did_you_mean
from steelyard.harness.imports.numbers import cell_number
from steelyard.harness.records import Kind

Record = Mapping[str, object]
Table = Sequence[tuple[str, Record]]
"""(where, columns) of every row, as ``steelyard.harness.files.tables.records`` gives them."""
#: Columns that are taken for what their name says.
_BY_NAME = ("task", "prompt", "target", "response")
_GAPS = ("", "nan", "na", "n/a", "none", "null", "-")
#: What pandas calls a column that its ``to_csv`` wrote without a name, and its ``to_parquet`` adds:
#: the number of the row, which measures nothing.
_ROW_NUMBERS = re.compile(r"Unnamed: \d+(\.\d+)*|__index_level_\d+__")
#: What a table may hold: kind -> how many columns make a row.
COLUMNS: Mapping[Kind, int] = {"accuracy": 1, "bounded": 1, "perplexity": 2, "ratio": 1}


@dataclass(frozen=True)
class MetricColumn:
    """One metric of a table: its name, the columns of its row, and what they are."""

    name: str
    columns: tuple[str, ...]
    kind: Kind | None = None
    """None: 0/1 is ``accuracy``, anything else ``bounded``."""

    @classmethod
    def parse(cls, text: str) -> MetricColumn:
        """``name[=column[,column]][:kind]``. Raises ``ConfigError``, naming the likely fix."""
        rest, colon, kind = text.rpartition(":")
        if not colon:
            rest, kind = text, ""
        name, equals, columns = rest.partition("=")
        used = tuple(columns.split(",")) if equals else (name,)
        if not name or not all(used):
            example = "as in acc, acc:accuracy or word_perplexity=log_likelihood,words:perplexity"
            raise ConfigError("not a metric", key="--metric", value=text, fix=example)
        if not kind:
            return cls(name, used)
        row_kind = next((each for each in COLUMNS if each == kind), None)
        if row_kind is None:
            fix = did_you_mean(kind, COLUMNS)
            raise ConfigError("not a kind of metric", key="--metric", value=text, fix=fix)
        if len(used) != COLUMNS[row_kind]:
            raise ConfigError(
                f"a row of kind {kind} has {COLUMNS[row_kind]} columns",
                key="--metric",
                value=text,
                fix="as in word_perplexity=log_likelihood,words:perplexity",
            )
        return cls(name, used, row_kind)


@dataclass(frozen=True)
class ItemColumns:
    """Which column is what; those that a file lacks are told apart by ``given``."""

    id: str = "id"
    task: str | None = None
    cluster: str | None = None
    slices: tuple[str, ...] = ()
    metrics: tuple[MetricColumn, ...] = ()
    """Empty: every column of numbers that is nothing else."""
    lower: tuple[str, ...] = ()
    """Metrics of which less is better."""
    prompt: str | None = None
    target: str | None = None
    response: str | None = None
    equals: tuple[str, ...] = ()
    """Prediction and answer, of which ``exact_match`` is computed; () where none is."""


def resolved(columns: ItemColumns, table: Table) -> ItemColumns:
    """Every column that is named exists; those that are not named are looked for.

    Raises ``DataError`` for each name that is not there.
    """
    # Of all rows: a column that the first row lacks is one with an empty cell, not one left out.
    there = list(dict.fromkeys(name for _, record in table for name in record))
    chosen = {n: getattr(columns, n) or (n if n in there else None) for n in _BY_NAME}
    other = {columns.id, columns.cluster, *columns.slices, *chosen.values()}
    metrics = columns.metrics or tuple(
        MetricColumn(name, (name,))
        for name in there
        if name not in other and not is_row_number(name) and _is_numeric(name, table)
    )
    named = [
        ("--id", columns.id),
        ("--cluster", columns.cluster),
        *(("--slice", name) for name in columns.slices),
        *((f"--{n}", chosen[n]) for n in chosen),
        *(("--metric", name) for metric in metrics for name in metric.columns),
    ]
    problems = Collected()
    for option, name in named:
        if name is not None and name not in there:
            problems.errors.append(
                DataError(f"no column '{name}'", fix=did_you_mean(name, there), key=option)
            )
    if not metrics:
        problems.errors.append(DataError("no column of numbers", fix="name one with --metric"))
    names = [metric.name for metric in metrics]
    for unknown in (name for name in columns.lower if metrics and name not in names):
        problems.errors.append(
            DataError(f"no metric '{unknown}'", fix=did_you_mean(unknown, names), key="--lower")
        )
    for twice in dict.fromkeys(name for name in names if names.count(name) > 1):
        problems.errors.append(DataError(f"the metric '{twice}' is named twice", key="--metric"))
    problems.raise_any()
    return replace(
        columns,
        metrics=metrics,
        task=chosen["task"],
        prompt=chosen["prompt"],
        target=chosen["target"],
        response=chosen["response"],
    )


def is_row_number(name: str) -> bool:
    """Whether a column is the index that pandas writes beside a table."""
    return _ROW_NUMBERS.fullmatch(name) is not None


def _is_numeric(name: str, table: Table) -> bool:
    """Mostly numbers, or nothing but numbers and gaps: a cell that is none is then an error, and
    not a metric left out.
    """
    cells = [record.get(name) for _, record in table]
    count = sum(cell_number(cell) is not None for cell in cells)
    gaps = sum(cell_number(cell) is None and _is_gap(cell) for cell in cells)
    return count > len(table) / 2 or (count > 0 and count + gaps == len(table))


def _is_gap(cell: object) -> bool:
    """Whether a cell holds nothing, in one of the ways in which tools write that."""
    return str("" if cell is None else cell).strip().lower() in _GAPS


def require_numbers(table: Table, columns: ItemColumns) -> None:
    """``DataError``, with its first place, for each column with a cell missing or not finite."""
    problems = Collected()
    for name in dict.fromkeys(name for metric in columns.metrics for name in metric.columns):
        bad = [(place, r.get(name)) for place, r in table if cell_number(r.get(name)) is None]
        if bad:
            place, value = bad[0]
            empty = value is None or not str(value).strip()
            what = "is empty" if empty else f"is no finite number ('{value}')"
            problems.errors.append(
                DataError(
                    f"'{name}' {what} ({len(bad)} of {len(table)} rows)",
                    fix="score these items, or leave them out of both files",
                    key=place,
                )
            )
    problems.raise_any()


def require_ids(table: Table, columns: ItemColumns) -> None:
    """``DataError``, with its places, where an id of a task is empty or stands twice."""
    problems = Collected()
    seen: dict[tuple[str, str], str] = {}
    copies: list[str] = []
    for place, record in table:
        value = record.get(columns.id)
        if value is None or not str(value).strip():
            problems.errors.append(
                DataError(f"'{columns.id}' is empty", fix="give it an id", key=place)
            )
            continue
        task = str(record.get(columns.task) or "").strip() if columns.task else ""
        if columns.task and not task:
            problems.errors.append(
                DataError(f"'{columns.task}' is empty", fix="name the row's task", key=place)
            )
        key = (task, str(value).strip())
        if key in seen:
            copies.append(f"the id '{value}' stands twice ({seen[key]} and {place}")
        seen.setdefault(key, place)
    if copies:
        what = f"{copies[0]}; {len(copies)} copies in all)"
        problems.errors.append(DataError(what, fix="keep one row an item"))
    problems.raise_any()
