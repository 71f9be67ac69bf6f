"""Data files as rows with their places: one reader for training data, tasks and imports.

CSV, TSV, JSON, JSONL (each also gzipped) and Parquet. A row comes with where it stands, so that
whoever finds a fault in it can name its line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steelyard.harness.errors import DataError, did_you_mean, located
from steelyard.harness.files.csv_file import csv_rows
from steelyard.harness.files.json_rows import json_rows
from steelyard.harness.files.ordinary import ordinary_bytes
from steelyard.harness.files.parquet_file import MAX_ROWS, TooLargeError, batches, check_size
from steelyard.harness.files.text_lines import COMPRESSED, open_lines

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_LINES = (".jsonl", ".ndjson", ".json")
_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_TEXTS = (*_LINES, *_SEPARATORS)
_SUFFIXES = (*_TEXTS, ".parquet")
#: What to do with a file of a kind that is not read.
_OTHER_KINDS = {
    ".xlsx": "save it as CSV UTF-8",
    ".xls": "save it as CSV UTF-8",
    ".arrow": "write it with to_parquet()",
    ".feather": "write it with to_parquet()",
    ".zip": "unpack it",
    ".zst": "unpack it",
    ".bz2": "unpack it",
    ".xz": "unpack it",
}


def records(path: Path, *, results: bool = False) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(where, columns) of every row of a data file.

    Args:
        path: CSV, TSV, JSON (a list of objects), JSONL or Parquet.
        results: it is what another tool wrote of a model, so that NaN and halves of characters
            stand for themselves. Elsewhere they are refused.

    Raises ``DataError``, in one line with its place, where the file is missing, empty or not what
    its name says.
    """
    check_file(path)
    with located(file=path):
        for number, row in enumerate(_rows(path, results), start=1):
            if number > MAX_ROWS:
                raise DataError(f"more than {MAX_ROWS:,} rows", fix="split the file")
            yield row


def _rows(path: Path, results: bool) -> Iterator[tuple[str, Mapping[str, Any]]]:
    kind = _kind(path)
    if kind == ".parquet":
        yield from _parquet(path)
        return
    with open_lines(path) as lines:
        if kind in _SEPARATORS:
            yield from csv_rows(lines, _SEPARATORS[kind])
        else:
            yield from json_rows(lines, results=results)


def check_file(path: Path) -> None:
    """Raises ``DataError`` for a file that is missing, empty or of a kind that is not read."""
    if path.exists():
        fix = "name a file in it" if path.is_dir() else None
        ordinary_bytes(path, DataError, fix=fix)
    else:
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        near = [name for name in beside if _kind(Path(name)) in _SUFFIXES]
        fix = did_you_mean(path.name, near) if near else f"there is no data file in {path.parent}"
        raise DataError("no such data file", file=path, fix=fix)
    if _kind(path) not in _SUFFIXES:
        suffixes = ", ".join(_SUFFIXES)
        fix = _OTHER_KINDS.get(path.suffix.lower(), f"use one of {suffixes}")
        raise DataError("unknown kind of data file", file=path, fix=fix)
    if path.stat().st_size == 0:
        raise DataError("the file is empty", file=path, fix="check how it was made")


def _kind(path: Path) -> str:
    """The suffix that says what is in it: ``.jsonl`` of ``a.JSONL`` and of ``a.jsonl.gz``."""
    suffix = path.suffix.lower()
    inner = Path(path.stem).suffix.lower()
    return inner if suffix == COMPRESSED and inner in _TEXTS else suffix


def _parquet(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            check_size(file)
            _require_one_of_each(file.schema_arrow.names)
            for batch in batches(file, file_bytes=path.stat().st_size):
                short = _short_floats(batch.schema)
                for record in batch.to_pylist():
                    number += 1
                    for name, kind in short.items():
                        record[name] = _as_decimal(record[name], kind)
                    yield f"row {number}", record
    except TooLargeError as error:
        raise DataError(str(error), fix="split the file") from error
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        raise DataError(f"not Parquet: {error}") from error


def _short_floats(schema: pa.Schema) -> Mapping[str, type[np.floating[Any]]]:
    """Columns of floats of fewer than 64 bits, and what their values are."""
    import numpy as np

    kinds: Mapping[str, type[np.floating[Any]]]
    kinds = {"float": np.float32, "halffloat": np.float16}
    return {field.name: kinds[str(field.type)] for field in schema if str(field.type) in kinds}


def _as_decimal(value: float | None, kind: type[np.floating[Any]]) -> float | None:
    """The shortest decimal that is the value: .1, where 64 bits have .10000000149011612."""
    return None if value is None else float(str(kind(value)))


def _require_one_of_each(names: list[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"the column '{twice[0]}' stands twice", fix="rename one, or take it out")
