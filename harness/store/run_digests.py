"""The SHA-256 of each file of a run, beside them: a flipped bit is an error and never a number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from steelyard.harness.errors import StoreError
from steelyard.harness.files import file_digest
from steelyard.harness.store.atomic import read_json, storage_errors, to_json

DIGESTS_FILE = "digests.json"
_FIX = "run its experiment again: it is put away and made again"
#: Files that this process has read to the end; a run's files are never written again.
_Stamp = tuple[str, int, int, int]
_verified: set[_Stamp] = set()


def write_digests(folder: Path, names: Sequence[str]) -> None:
    """Put the digests of these files beside them, before the folder is published."""
    digests = {name: file_digest(folder / name) for name in names}
    (folder / DIGESTS_FILE).write_text(to_json(digests), encoding="utf-8", newline="\n")


def require_digest(path: Path) -> bool:
    """Hold a file of a run against its digest; False where none was written (by an old version).

    Each file is read once a process.

    Raises ``StoreError`` where it is another file than what was put there.
    """
    digests = path.with_name(DIGESTS_FILE)
    if not digests.is_file():
        return False
    with storage_errors(path, "read"):
        if not path.is_file():
            raise StoreError("missing", file=path, fix=_FIX)
        stamps = (_stamp(path), _stamp(digests))
        if not _verified.issuperset(stamps):
            stated = read_json(digests)
            if not isinstance(stated, dict) or stated.get(path.name) != file_digest(path):
                what = f"damaged (its SHA-256 is not that of {DIGESTS_FILE})"
                raise StoreError(what, file=path, fix=_FIX)
            _verified.update(stamps)
    return True


def read_once(path: Path, read: Callable[[Path], object]) -> None:
    """Have a file without a digest read to its end, once a process; ``read`` raises for damage."""
    if not path.is_file() or _stamp(path) not in _verified:
        read(path)
        _verified.add(_stamp(path))


def _stamp(path: Path) -> _Stamp:
    status = path.stat()
    return str(path), status.st_ino, status.st_size, status.st_mtime_ns
