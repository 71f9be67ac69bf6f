"""One run on disk: ``run.json`` with its rows and samples beside it."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from steelyard.harness.errors import NewerVersionError, StoreError, located
from steelyard.harness.files.version_1 import run_in
from steelyard.harness.records import Rows, Run, SampleRecord
from steelyard.harness.store.atomic import (
    plain,
    publish_folder,
    read_limited,
    storage_errors,
    to_json,
)
from steelyard.harness.store.layout import Layout
from steelyard.harness.store.rows_file import read_rows, write_rows
from steelyard.harness.store.run_digests import read_once, require_digest, write_digests
from steelyard.harness.store.samples_file import read_samples, write_samples

RUN_FILE, ROWS_FILE, SAMPLES_FILE = "run.json", "rows.parquet", "samples.parquet"
_FIX = "run its experiment again: it is put away and made again"


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
            write_digests(folder, (RUN_FILE, ROWS_FILE, SAMPLES_FILE))
            publish_folder(folder, target, durable=durable)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def read_run(folder: Path) -> Run:
    """The run in ``folder``.

    Raises ``StoreError`` where it is missing or damaged, ``NewerVersionError`` where a newer
    Steelyard wrote it.
    """
    path = folder / RUN_FILE
    if not path.is_file():
        raise StoreError("missing", file=path, fix=_FIX)
    text = read_limited(path)
    try:
        with located(file=path):
            run = run_in(text)
        require_digest(path)
        return run
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or None
        raise StoreError(f"damaged ({first['msg']})", file=path, key=key, fix=_FIX) from error


def verified_run(folder: Path) -> Run:
    """The run in ``folder``, once every file of it was held against its digest.

    Where none were written, by a Steelyard of before, rows and samples are read to their end.

    Raises ``StoreError`` for the first that is missing or damaged, ``NewerVersionError`` where a
    newer Steelyard wrote them.
    """
    run = read_run(folder)
    for path, read in ((folder / ROWS_FILE, read_rows), (folder / SAMPLES_FILE, read_samples)):
        if not require_digest(path):
            read_once(path, read)
    return run


def intact(folder: Path) -> bool:
    """Whether every file of a run is what was put there.

    Raises ``NewerVersionError`` where a newer Steelyard wrote it: that is no damage.
    """
    try:
        verified_run(folder)
    except NewerVersionError:
        raise
    except (StoreError, OSError):
        return False
    return True
