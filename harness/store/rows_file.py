"""Rows as Parquet: plain columns that pandas, DuckDB or Spark read without us.

One row group a group of rows; order, empty groups and the width k stand in the file's metadata, so
that what comes back equals what was put, to the bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from steelyard.harness.errors import StoreError
from steelyard.harness.files import read_row_group
from steelyard.harness.records import Rows
from steelyard.harness.store.atomic import plain
from steelyard.harness.store.parquet import (
    WRITE_OPTIONS,
    metadata_of,
    opened,
    require_columns,
    text_column,
    with_metadata,
)

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq


_GroupShape = tuple[str, str, int, int]
"""Task, metric, samples, and the width k of a group, as the file's metadata has them."""


def _rows_schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        [
            ("task", pa.string()),
            ("sample_id", pa.string()),
            ("metric", pa.string()),
            ("values", pa.list_(pa.float64())),
            ("scored", pa.bool_()),
            ("flags", pa.string()),
            ("cluster", pa.string()),
        ]
    )


def write_rows(path: Path, groups: Sequence[Rows]) -> None:
    """Write rows; an unscored sample's k numbers become nulls, never NaN."""
    import pyarrow.parquet as pq

    order = [[g.task, g.metric, len(g.sample_ids), int(g.values.shape[1])] for g in groups]
    schema = with_metadata(_rows_schema(), {"groups": plain(order)})
    with pq.ParquetWriter(path, schema, **WRITE_OPTIONS) as writer:
        for group in groups:
            if group.sample_ids:
                writer.write_table(_rows_table(group, schema))


def _rows_table(rows: Rows, schema: pa.Schema) -> pa.Table:
    import numpy as np
    import pyarrow as pa

    n, k = rows.values.shape
    lengths = {n, len(rows.sample_ids), len(rows.scored), len(rows.flags), len(rows.clusters)}
    if len(lengths) != 1:
        raise StoreError(f"rows of {rows.task} {rows.metric} have columns of unequal length")
    scored = np.asarray(rows.scored, dtype=bool)
    flat = np.ascontiguousarray(rows.values, dtype=np.float64).reshape(-1)
    numbers = pa.array(flat, mask=np.repeat(~scored, k))
    offsets = pa.array(np.arange(n + 1, dtype=np.int32) * np.int32(k))
    columns = [
        text_column([rows.task] * n, pa.string()),
        text_column(rows.sample_ids, pa.string()),
        text_column([rows.metric] * n, pa.string()),
        pa.ListArray.from_arrays(offsets, numbers),
        pa.array(scored),
        text_column(rows.flags, pa.string()),
        text_column(rows.clusters, pa.string()),
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def read_rows(path: Path, task: str | None = None) -> tuple[Rows, ...]:
    """The rows in ``path`` in the order in which they were put, of one task or of all.

    Raises ``StoreError`` where the file is damaged or beyond the size limit.
    """
    with opened(path) as file:
        groups = metadata_of(file)["groups"]
        require_columns(file, _rows_schema())
        return tuple(_rows_of(file, groups, task))


def _rows_of(
    file: pq.ParquetFile, groups: Sequence[_GroupShape], task: str | None
) -> Iterator[Rows]:
    row_group = 0
    for name, metric, n, k in groups:
        wanted = task is None or name == task
        if n == 0:
            if wanted:
                yield _rows_from_table(name, metric, k, None)
            continue
        if wanted:
            table = read_row_group(file, row_group)
            if table.num_rows != n or _names(table) != {(name, metric)}:
                raise ValueError(f"not the {n} rows of {name} {metric}")
            yield _rows_from_table(name, metric, k, table)
        row_group += 1
    if row_group != file.metadata.num_row_groups:
        raise ValueError(f"{file.metadata.num_row_groups} row groups, not {row_group}")


def _names(table: pa.Table) -> set[tuple[str, str]]:
    import pyarrow.compute as pc

    tasks, metrics = (pc.unique(table[name]).to_pylist() for name in ("task", "metric"))
    return {(task, metric) for task in tasks for metric in metrics}


def _rows_from_table(task: str, metric: str, k: int, table: pa.Table | None) -> Rows:
    import numpy as np

    if table is None:
        empty = np.empty((0, k), dtype=np.float64)
        return Rows(task, metric, (), empty, np.empty(0, dtype=np.bool_), (), ())
    flat = table["values"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return Rows(
        task=task,
        metric=metric,
        sample_ids=tuple(table["sample_id"].to_pylist()),
        values=np.array(flat, dtype=np.float64).reshape(table.num_rows, k),
        scored=table["scored"].to_numpy().astype(np.bool_),
        flags=tuple(table["flags"].to_pylist()),
        clusters=tuple(table["cluster"].to_pylist()),
    )
