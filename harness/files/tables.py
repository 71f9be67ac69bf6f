"""JSONL, CSV and Parquet files as records with row numbers, one reader for all who read tables."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from steelyard.harness.errors import DataError, did_you_mean
from steelyard.harness.files.json_file import whole
from steelyard.harness.files.parquet_file import batches, check_size

#: Far beyond any document; a file without line ends must not be read as one line of it.
MAX_LINE_CHARACTERS = 64 * 1024 * 1024


_SUFFIXES = (".jsonl", ".ndjson", ".csv", ".tsv", ".parquet")


def records(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(where, columns) of every row of a JSONL, CSV, TSV or Parquet file.

    Raises ``DataError``, in one line, where the file is missing, empty or not what its name says.
    """
    check_file(path)
    if path.suffix == ".parquet":
        yield from _parquet(path)
        return
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if path.suffix in (".csv", ".tsv"):
                separator = "\t" if path.suffix == ".tsv" else ","
                reader = csv.DictReader(_lines_of_text(file, path), delimiter=separator)
                for record in reader:
                    yield f"line {reader.line_num}", _whole(record, reader.line_num, path)
                return
            for number, line in enumerate(_lines_of_text(file, path), start=1):
                if line.strip():
                    yield f"line {number}", _object(line, number, path)
    except UnicodeDecodeError as error:
        raise DataError(
            f"not UTF-8 text ({error.reason})", file=path, fix="save it as UTF-8"
        ) from (error)
    except csv.Error as error:
        raise DataError(f"not CSV: {error}", file=path) from error


def _lines_of_text(file: TextIO, path: Path) -> Iterator[str]:
    """The lines of a file; one that would fill the memory is refused before it does."""
    number = 0
    while line := file.readline(MAX_LINE_CHARACTERS + 1):
        number += 1
        if len(line) > MAX_LINE_CHARACTERS:
            what = f"line {number} is longer than {MAX_LINE_CHARACTERS} characters"
            raise DataError(what, file=path, fix="is it a file of lines?")
        yield line


def check_file(path: Path) -> None:
    """Raises ``DataError`` for a file that is missing, empty or of a kind that is not read."""
    if not path.is_file():
        if path.is_dir():
            raise DataError("a folder, not a data file", file=path, fix="name a file in it")
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        near = [name for name in beside if name.endswith(_SUFFIXES)]
        fix = did_you_mean(path.name, near) if near else f"there is no data file in {path.parent}"
        raise DataError("no such data file", file=path, fix=fix)
    if path.suffix not in _SUFFIXES:
        suffixes = ", ".join(_SUFFIXES)
        raise DataError("unknown kind of data file", file=path, fix=f"use one of {suffixes}")
    if path.stat().st_size == 0:
        raise DataError("the file is empty", file=path, fix="check how it was made")


def _object(line: str, number: int, path: Path) -> Mapping[str, Any]:
    try:
        record = json.loads(line, parse_int=whole)
    except (ValueError, RecursionError) as error:
        fix = "JSONL has one JSON object on each line"
        raise DataError(f"line {number} is not JSON: {error}", file=path, fix=fix) from error
    if not isinstance(record, dict):
        fix = 'write {"column": value, ...} on each line'
        raise DataError(f"line {number} is not a JSON object", file=path, fix=fix)
    return record


def _whole(record: Mapping[Any, Any], number: int, path: Path) -> Mapping[str, Any]:
    if None in record or None in record.values():
        fix = "quote values that hold the separator"
        raise DataError(f"line {number} has not as many cells as the header", file=path, fix=fix)
    return record


def _parquet(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            check_size(file)
            for batch in batches(file):
                for record in batch.to_pylist():
                    number += 1
                    yield f"row {number}", record
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        raise DataError(f"not Parquet: {error}", file=path) from error
