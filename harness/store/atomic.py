"""Writing so that a process killed anywhere leaves the old state or the new one, never a mix.

Everything is written under ``tmp/`` on the same file system, flushed to the disk, and moved into
place by one ``rename`` (atomic by POSIX).
"""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from steelyard.harness.errors import StoreError
from steelyard.harness.files import ordinary_bytes, sync_folder
from steelyard.harness.files import storage_errors as file_storage_errors

#: No JSON record of a run or a stage comes near this; a larger file is damage or an attack.
MAX_JSON_BYTES = 256 * 1024 * 1024


def storage_errors(root: Path, what: str) -> AbstractContextManager[None]:
    """Turn the system's errors (disk full, no permission, ...) into one line with a fix."""
    return file_storage_errors(root, what, "choose another workspace with --workspace")


def to_json(value: object) -> str:
    """Stable JSON text: sorted keys, one space of indent; equal records are equal files.

    Raises ``ValueError`` for NaN and infinities: missing is null.
    """
    return json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def plain(value: Any) -> Any:
    """``value`` as JSON can hold it: NaN and infinities become null, lone surrogates U+FFFD."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return whole_text(value)
    if isinstance(value, Mapping):
        return {whole_text(str(key)): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value


def whole_text(text: str) -> str:
    """``text`` with halves of characters, which UTF-8 cannot hold, replaced by U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def read_limited(path: Path) -> bytes:
    """The bytes of a JSON file. Raises ``StoreError`` where it is absurdly large or unreadable."""
    with storage_errors(path, "read"):
        size = ordinary_bytes(path, StoreError)
        if size > MAX_JSON_BYTES:
            raise StoreError(f"{size} bytes of JSON, more than {MAX_JSON_BYTES}", file=path)
        return path.read_bytes()


def read_json(path: Path) -> Any:
    """The JSON value in ``path``. Raises ``StoreError`` where it is damaged or absurdly large."""
    try:
        return json.loads(read_limited(path))
    except (ValueError, RecursionError) as error:
        raise StoreError(
            f"damaged JSON ({error})", file=path, fix="'steelyard store check' lists all damage"
        ) from error


def sync_tree(folder: Path) -> None:
    """Flush every file of ``folder`` and the folder itself, so that a rename publishes content."""
    for base, _, names in os.walk(folder):
        for name in names:
            descriptor = os.open(Path(base, name), os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        sync_folder(Path(base))


def publish_folder(folder: Path, target: Path, *, durable: bool = True) -> bool:
    """Move a finished folder to ``target`` in one rename; False where something is there already.

    Two writers of the same content race harmlessly: the first rename wins. What can be fetched
    again need not be ``durable``: the disk is then not waited for.
    """
    if durable:
        sync_tree(folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.rename(target)
    except OSError as error:
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
            return False
        raise
    if durable:
        sync_folder(target.parent)
    return True
