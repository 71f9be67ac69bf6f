"""Samples as Parquet: what was asked and what came back, documents as JSON text in a column."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from steelyard.harness.files import batches
from steelyard.harness.records import SampleRecord
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

SAMPLES_PER_ROW_GROUP = 5_000


def _samples_schema() -> pa.Schema:
    import pyarrow as pa

    return _first_schema().append(pa.field("twin_id", pa.string()))


def _first_schema() -> pa.Schema:
    """The columns that every file has, those of before ``twin_id`` too."""
    import pyarrow as pa

    return pa.schema(
        [
            ("task", pa.string()),
            ("sample_id", pa.string()),
            ("prompt", pa.large_string()),
            ("target", pa.large_string()),
            ("responses", pa.list_(pa.large_string())),
            ("document", pa.large_string()),
            ("slices", pa.string()),
            ("cluster", pa.string()),
        ]
    )


def write_samples(path: Path, samples: Sequence[SampleRecord]) -> None:
    """Write samples; documents and slices are JSON text in a column of their own."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = with_metadata(_samples_schema(), {"samples": len(samples)})
    with pq.ParquetWriter(path, schema, **WRITE_OPTIONS) as writer:
        for start in range(0, len(samples), SAMPLES_PER_ROW_GROUP):
            part = samples[start : start + SAMPLES_PER_ROW_GROUP]
            columns: list[list[object]] = [
                [s.task for s in part],
                [s.sample_id for s in part],
                [s.prompt for s in part],
                [s.target for s in part],
                [list(s.responses) for s in part],
                [json.dumps(s.document, default=_json_value) for s in part],
                [json.dumps(dict(s.slices)) for s in part],
                [s.cluster for s in part],
                [s.twin_id for s in part],
            ]
            arrays = [text_column(c, f.type) for c, f in zip(columns, schema, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _json_value(value: object) -> object:
    """A JSON value for what data sets hold besides: numpy numbers, dates, bytes, pictures."""
    for method in ("tolist", "isoformat"):
        if hasattr(value, method):
            return getattr(value, method)()
    if isinstance(value, Iterable) and not isinstance(value, bytes | bytearray):
        return list(value)
    return f"<{type(value).__name__}>"


def read_samples(path: Path, task: str | None = None) -> tuple[SampleRecord, ...]:
    """The samples in ``path`` in the order in which they were put, of one task or of all.

    Raises ``StoreError`` where the file is damaged or beyond the size limit.
    """
    with opened(path) as file:
        expected = metadata_of(file)["samples"]
        schema = _samples_schema() if "twin_id" in file.schema_arrow.names else _first_schema()
        require_columns(file, schema)
        if file.metadata.num_rows != expected:
            raise ValueError(f"{file.metadata.num_rows} samples, not {expected}")
        return tuple(_samples_of(file, task))


def _samples_of(file: pq.ParquetFile, task: str | None) -> Iterator[SampleRecord]:
    import pyarrow.compute as pc

    for part in batches(file):
        if task is not None:
            part = part.filter(pc.equal(part.column("task"), task))
        for row in part.to_pylist():
            row["document"] = json.loads(row["document"])
            row["slices"] = json.loads(row["slices"])
            yield SampleRecord.model_validate(row)
