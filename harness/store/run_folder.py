"""One run on disk: ``run.json`` with its rows and samples beside it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from steelyard.harness.errors import StoreError
from steelyard.harness.files.version_1 import run_in
from steelyard.harness.records import SCHEMA_VERSION, Rows, Run, SampleRecord
from steelyard.harness.store.atomic import (
    plain,
    publish_folder,
    read_json,
    read_limited,
    storage_errors,
    to_json,
)
from steelyard.harness.store.layout import Layout
from steelyard.harness.store.parquet import is_parquet
from steelyard.harness.store.rows_file import write_rows
from steelyard.harness.store.samples_file import write_samples

RUN_FILE, ROWS_FILE, SAMPLES_FILE = "run.json", "rows.parquet", "samples.parquet"
_FIX = "'steelyard store check' lists all damage"


def publish_run(
    layout: Layout,
    target: Path,
    run: Run,
    rows: Sequence[Rows],
    samples: Sequence[SampleRecord],
    *,
    durable: bool = True,
) -> None:
    """Write a run's folder in private and move it to ``target`` in one rename.

    Only a cache is written without being ``durable``: nothing then waits for the disk.
    """
    folder = layout.scratch()
    try:
        with storage_errors(layout.root, f"store run {run.id[:12]}"):
            folder.mkdir()
            write_rows(folder / ROWS_FILE, rows)
            write_samples(folder / SAMPLES_FILE, samples)
            text = to_json(plain(run.model_dump(mode="json")))
            (folder / RUN_FILE).write_text(text, encoding="utf-8", newline="\n")
            publish_folder(folder, target, durable=durable)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def read_run(folder: Path) -> Run:
    """The run in ``folder``. Raises ``StoreError`` where it is missing, damaged or too new."""
    path = folder / RUN_FILE
    if not path.is_file():
        raise StoreError("missing", file=path, fix=_FIX)
    text = read_limited(path)
    try:
        return run_in(text)
    except ValidationError as error:
        if (newer := _newer_version(path)) is not None:
            raise StoreError(
                f"written by a newer Steelyard (record version {newer})", file=path, fix="upgrade"
            ) from error
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or None
        raise StoreError(f"damaged ({first['msg']})", file=path, key=key, fix=_FIX) from error


def _newer_version(path: Path) -> int | None:
    """The record version of a file that this version of Steelyard is too old for."""
    value = read_json(path)
    version = value.get("schema_version") if isinstance(value, dict) else None
    return version if isinstance(version, int) and version > SCHEMA_VERSION else None


def intact(folder: Path) -> bool:
    """Whether a run can be read, and its rows and samples at least be opened."""
    try:
        read_run(folder)
    except (StoreError, OSError):
        return False
    return is_parquet(folder / ROWS_FILE) and is_parquet(folder / SAMPLES_FILE)
