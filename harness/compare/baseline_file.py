"""A baseline is a file: one run's scores, rows, hashes and signatures, for a repository to keep.

Gzipped JSON, ``*.steelyard.json.gz``, the same bytes for the same run. Prompts and answers stay out
unless asked for. The file's own digest stands inside, so a torn or edited file is noticed.

```
{"format": "steelyard baseline", "schema_version": 2, "sha256": ..., "content": {
  "run": {...},                                   # steelyard.harness.records.Run
  "tasks": {"known": {
    "sample_ids": [...], "clusters": null,        # sorted by id
    "metrics": {"acc": {"values": [[1, 0, ...]],  # one list a column, null where unscored
                        "absent": [], "flags": {"17": "length limit"}}}}},
  "samples": null                                 # records.SampleRecord, with text
}}
```
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn, TypedDict, cast

import numpy as np
from pydantic import ValidationError

from steelyard.harness.compare.scored import Scored
from steelyard.harness.errors import DataError, located
from steelyard.harness.files import ordinary_bytes, write_atomic
from steelyard.harness.files.old_names import (
    BASELINE_FORMAT,
    BASELINE_SUFFIX,
    BASELINE_SUFFIXES,
    OLD_BASELINE_FORMAT,
)
from steelyard.harness.files.version_1 import run_of
from steelyard.harness.records import SCHEMA_VERSION, Rows, SampleRecord
from steelyard.harness.store import Store

_FORMATS = (BASELINE_FORMAT, OLD_BASELINE_FORMAT)
#: 50,000 rows take a few MB; these stop a bomb before it fills the memory.
MAX_FILE_BYTES = 100_000_000
MAX_CONTENT_BYTES = 400_000_000


class _MetricContent(TypedDict):
    values: list[list[float | str | None]]
    absent: list[int]
    flags: dict[str, str]


class _TaskContent(TypedDict):
    sample_ids: list[str]
    clusters: list[str | None] | None
    metrics: dict[str, _MetricContent]


class _RunContent(TypedDict):
    run: dict[str, object]
    tasks: dict[str, _TaskContent]
    samples: list[object] | None


def save(scored: Scored, path: Path, *, include_text: bool = False) -> None:
    """Write a run as a baseline file, through one rename.

    Raises ``DataError`` for an incomplete run, duplicated rows, another suffix, and where it would
    replace what a newer Steelyard wrote.
    """
    path = Path(path)
    with located(file=path):
        if not path.name.endswith(BASELINE_SUFFIX):
            raise DataError("is not a baseline's name", fix=f"end it in {BASELINE_SUFFIX}")
        if not scored.run.complete:
            message = f"the run '{scored.name}' is incomplete and cannot be a baseline"
            raise DataError(message, fix="score it again")
        _require_not_newer(path)
        body = _canonical(_run_content(scored, include_text))
    header = f'{{"content":{body},"format":"{BASELINE_FORMAT}","schema_version":{SCHEMA_VERSION},'
    text = f'{header}"sha256":"{_digest(body)}"}}\n'
    write_atomic(path, _gzipped(text.encode()))


def load(path: Path) -> Scored:
    """The run in a baseline file.

    Raises ``DataError``, in one line, for a file that is missing, torn, edited, too large, of a
    newer version, or no baseline at all.
    """
    path = Path(path)
    with located(file=path):
        return _scored_from(_checked_content(path))


def _scored_from(content: _RunContent) -> Scored:
    try:
        run = run_of(content["run"])
        rows = {
            (task, metric): _rows_from(task, metric, held, entry)
            for task, held in content["tasks"].items()
            for metric, entry in held["metrics"].items()
        }
        samples = _samples_from(content.get("samples"))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        _refuse(f"not a valid baseline: {where}: {first['msg']}", "save it again")
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        _refuse(f"not a valid baseline: {type(error).__name__}: {error}", "save it again")
    return Scored(run, rows, samples)


def open_run(store: Store, name: str) -> Scored:
    """A run with its rows: a baseline file by its suffix, else a run of the store."""
    path = Path(name)
    return load(path) if path.name.endswith(BASELINE_SUFFIXES) else Scored.from_store(store, name)


# --- writing --------------------------------------------------------------------------------


def _run_content(scored: Scored, include_text: bool) -> _RunContent:
    tasks: dict[str, _TaskContent] = {}
    samples: list[object] = []
    for task in scored.tasks:
        held = [r for m in scored.scores_of(task) if (r := scored.rows.get((task, m))) is not None]
        if held:
            tasks[task] = _task(held)
        if include_text:
            samples_by_id = scored.samples_of(task)
            samples += [samples_by_id[id].model_dump(mode="json") for id in sorted(samples_by_id)]
    return {
        "run": scored.run.model_dump(mode="json"),
        "tasks": tasks,
        "samples": samples if include_text else None,
    }


def _task(held: Sequence[Rows]) -> _TaskContent:
    for rows in held:
        if len(set(rows.sample_ids)) != len(rows.sample_ids):
            raise DataError(f"{rows.task}: {rows.metric}: duplicated rows cannot be a baseline")
    clusters = {id: c for r in held for id, c in zip(r.sample_ids, r.clusters, strict=True)}
    ids = sorted(clusters)
    return {
        "sample_ids": ids,
        "clusters": [clusters[id] for id in ids] if any(clusters.values()) else None,
        "metrics": {rows.metric: _metric_content(rows, ids) for rows in held},
    }


def _metric_content(rows: Rows, ids: Sequence[str]) -> _MetricContent:
    place = {id: i for i, id in enumerate(rows.sample_ids)}
    order = [place[id] for id in ids if id in place]
    columns = rows.values[order].T.tolist()
    scored = rows.scored[order]
    return {
        "values": [
            [
                _json_number(v) if is_scored else None
                for v, is_scored in zip(column, scored, strict=True)
            ]
            for column in columns
        ],
        "absent": [i for i, id in enumerate(ids) if id not in place],
        "flags": {str(i): rows.flags[j] for i, j in enumerate(order) if rows.flags[j]},
    }


def _json_number(value: float) -> float | int | str:
    if not math.isfinite(value):
        # A scored NaN is a fault that the comparison must still see.
        return str(value)
    return int(value) if value == int(value) and abs(value) < 2**53 else value


def _canonical(content: object) -> str:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _digest(body: str) -> str:
    return hashlib.sha256(body.encode()).hexdigest()


def _gzipped(text: bytes) -> bytes:
    """The same bytes from every Python: 3.11 and 3.12 write the system's name where 3.13 does not.

    RFC 1952: byte 9 of the header is the operating system, 255 for unknown.
    """
    packed = gzip.compress(text, compresslevel=9, mtime=0)
    return packed[:9] + b"\xff" + packed[10:]


# --- reading --------------------------------------------------------------------------------


def _refuse(message: str, fix: str | None = None) -> NoReturn:
    raise DataError(message, fix=fix) from None


def _require_not_newer(path: Path) -> None:
    """Raise ``DataError`` for a newer Steelyard's file; what is damaged may be replaced."""
    if not path.is_file():
        return
    try:
        document = _document(path)
    except DataError:
        return
    _require_known_version(document)


def _document(path: Path) -> dict[str, object]:
    """The JSON object in a file that says that it is a baseline."""
    text = _unzipped_text(path)
    try:
        document = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        _refuse("does not hold JSON", "is it a baseline file?")
    if not isinstance(document, dict) or document.get("format") not in _FORMATS:
        _refuse("is not a baseline file", "write one with `steelyard baseline save`")
    return document


def _require_known_version(document: Mapping[str, object]) -> None:
    version = document.get("schema_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        _refuse(f"has no usable schema_version (got {version!r})")
    if version > SCHEMA_VERSION:
        newer = (
            f"was written by a newer Steelyard (schema {version}, this one reads {SCHEMA_VERSION})"
        )
        _refuse(newer, "upgrade steelyard")


def _checked_content(path: Path) -> _RunContent:
    """What the file holds, once its format, version and digest are right."""
    document = _document(path)
    _require_known_version(document)
    content = document.get("content")
    if not isinstance(content, dict):
        _refuse("holds no content", "save it again")
    if document.get("sha256") != _digest(_canonical(content)):
        _refuse("its digest does not match: torn or edited", "save it again")
    return cast(_RunContent, content)


def _unzipped_text(path: Path) -> str:
    fix = "write one with `steelyard baseline save`"
    if not path.exists():
        _refuse("no such file", fix)
    if ordinary_bytes(path, DataError, fix=fix) > MAX_FILE_BYTES:
        _refuse(f"larger than {MAX_FILE_BYTES} bytes", "is it a baseline file?")
    try:
        with gzip.open(io.BytesIO(path.read_bytes())) as file:
            raw = file.read(MAX_CONTENT_BYTES + 1)
        if len(raw) > MAX_CONTENT_BYTES:
            _refuse(f"unpacks to more than {MAX_CONTENT_BYTES} bytes")
        return raw.decode()
    except (OSError, EOFError, zlib.error):
        _refuse("is torn or not gzipped", "save it again")
    except UnicodeDecodeError:
        _refuse("is not UTF-8 text", "save it again")


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _rows_from(task: str, metric: str, held: _TaskContent, entry: _MetricContent) -> Rows:
    ids = held["sample_ids"]
    clusters = held["clusters"] or [None] * len(ids)
    if len(clusters) != len(ids) or not all(isinstance(id, str) for id in ids):
        raise ValueError(f"{task}: sample ids and clusters do not fit each other")
    absent = set(entry["absent"])
    present = [i for i in range(len(ids)) if i not in absent]
    columns = entry["values"]
    if not columns or any(len(column) != len(present) for column in columns):
        raise ValueError(f"{task}: {metric}: rows and sample ids do not fit each other")
    scored = np.array([value is not None for value in columns[0]], dtype=bool)
    values = np.array(
        [[math.nan if value is None else float(value) for value in column] for column in columns],
        dtype=np.float64,
    ).T.reshape(len(present), len(columns))
    flags = [""] * len(present)
    for position, flag in entry["flags"].items():
        flags[int(position)] = str(flag)
    return Rows(
        task=task,
        metric=metric,
        sample_ids=tuple(ids[i] for i in present),
        values=values,
        scored=scored,
        flags=tuple(flags),
        clusters=tuple(clusters[i] for i in present),
    )


def _samples_from(held: Sequence[object] | None) -> dict[tuple[str, str], SampleRecord] | None:
    if held is None:
        return None
    records = [SampleRecord.model_validate(entry) for entry in held]
    return {(record.task, record.sample_id): record for record in records}
