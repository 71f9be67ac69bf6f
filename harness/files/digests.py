"""SHA-256 digests of values and files, over content and never over a path or a time."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from steelyard.harness.errors import DataError
from steelyard.harness.files.ordinary import ordinary_bytes


def digest_json(value: object) -> str:
    """SHA-256 of canonical JSON: sorted keys, no spaces, UTF-8; NaN is refused."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes. Raises ``DataError`` for a pipe or a device."""
    ordinary_bytes(path, DataError)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def data_digest(path: Path) -> str:
    """SHA-256 of a data file's bytes."""
    return file_digest(path)
