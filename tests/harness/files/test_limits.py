"""Small files that stand for a great deal, and files that never end: bounded, told in a line."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from steelyard.harness.compare.baseline_file import load
from steelyard.harness.errors import DataError, SteelyardError
from steelyard.harness.files import (
    digest_json,
    file_digest,
    memory_limit,
    parquet_file,
    read_json_object,
    read_yaml,
    records,
    text_lines,
    time_limit,
)


@pytest.mark.parametrize("kind", ["a pipe", "a device", "a folder"])
@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("x.yaml", read_yaml),
        ("x.json", lambda path: read_json_object(path, DataError)),
        ("x.csv", lambda path: list(records(path))),
        ("x.parquet", lambda path: list(records(path))),
        ("x.py", file_digest),
        ("x.steelyard.json.gz", load),
    ],
)
def test_a_pipe_a_device_and_a_folder_are_named_and_not_read(
    tmp_path: Path, kind: str, name: str, read: Callable[[Path], object]
) -> None:
    path = tmp_path / name
    {"a pipe": os.mkfifo, "a device": lambda p: p.symlink_to("/dev/zero"), "a folder": Path.mkdir}[
        kind
    ](path)
    with pytest.raises(SteelyardError, match=f"{name}: is {kind}, not a file"):
        read(path)


def test_a_parquet_file_of_ever_so_many_rows_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"a": pa.array(np.ones(10_000_001, np.int8))}), path)
    assert path.stat().st_size < 100_000

    def read(*_: object, **__: object) -> None:
        raise AssertionError("a row was decoded")

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", read)
    with pytest.raises(DataError, match="10,000,001 rows, more than 10,000,000; split the file"):
        list(records(path))


def test_a_parquet_file_that_unpacks_to_a_thousand_times_its_size_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_file, "FREE_BYTES", 1_000_000)
    path = tmp_path / "words.parquet"
    pq.write_table(pa.table({"a": ["x" * 10_000] * 2_000}), path)
    with pytest.raises(DataError, match="bytes unpacked; split the file"):
        list(records(path))


def test_a_gzip_file_that_unpacks_to_hundreds_of_times_its_size_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_lines, "FREE_CHARACTERS", 150_000)
    path = tmp_path / "bomb.jsonl.gz"
    line = json.dumps({"text": "x" * 50_000}) + "\n"
    path.write_bytes(gzip.compress(line.encode() * 40))
    with pytest.raises(DataError, match="characters unpacked; split the file"):
        list(records(path))
    (tmp_path / "two.jsonl.gz").write_bytes(gzip.compress(line.encode() * 2))
    assert len(list(records(tmp_path / "two.jsonl.gz"))) == 2


@pytest.mark.parametrize("levels", [150, 900, 100_000])
def test_deep_nesting_is_an_error_of_the_file_and_its_line(tmp_path: Path, levels: int) -> None:
    text = '{"a": ' + "[" * levels + "]" * levels + "}"
    for name, read in (
        ("x.jsonl", lambda path: list(records(path))),
        ("x.json", lambda path: read_json_object(path, DataError)),
    ):
        path = tmp_path / name
        path.write_text(text + "\n")
        with pytest.raises(DataError, match=r"nested more than 100|recursion"):
            read(path)
    path.write_text('{"a": ' + "[" * 90 + "]" * 90 + "}")
    assert digest_json(read_json_object(path, DataError))


def test_a_file_of_empty_lists_is_refused_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steelyard.harness.files.json_file.MAX_JSON_VALUES", 1_000)
    path = tmp_path / "x.json"
    path.write_text('{"a": [' + "[]," * 2_000 + "[]]}")
    with pytest.raises(DataError, match="more than 1,000 values of JSON"):
        read_json_object(path, DataError)


def test_what_takes_too_long_is_stopped_also_within_a_pattern() -> None:
    backtracking = re.compile(r"(a+)+$")
    started = time.monotonic()
    with pytest.raises(DataError, match="too long"), time_limit(0.2, DataError("too long")):
        backtracking.match("a" * 64 + "!")
    assert time.monotonic() - started < 5
    before = signal.getitimer(signal.ITIMER_REAL)[0]  # that of whoever runs the tests
    with time_limit(5, DataError("too long")):
        pass
    assert abs(signal.getitimer(signal.ITIMER_REAL)[0] - before) < 5


def test_memory_beyond_the_limit_is_told_and_the_bound_is_gone_behind_it() -> None:
    with pytest.raises(DataError, match="too large"), memory_limit(200, DataError("too large")):
        "x" * 10**9
    assert len("x" * 3 * 10**8) == 300_000_000
    with memory_limit(200, DataError("too large")):
        assert len("x" * 10**7) == 10_000_000
