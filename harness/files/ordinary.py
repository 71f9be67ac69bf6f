"""A file that others name, looked at before it is opened: what it is, and how large.

Reading a pipe waits for a writer that may never come, and reading a device may never end.
"""

from __future__ import annotations

import stat
from pathlib import Path

from steelyard.harness.errors import SteelyardError

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def ordinary_bytes(path: Path, error: type[SteelyardError], *, fix: str | None = None) -> int:
    """The size in bytes of an ordinary file, links followed.

    Raises ``error`` for anything else that is there, and ``OSError`` where nothing is.
    """
    status = path.stat()
    for is_kind, name in _KINDS:
        if is_kind(status.st_mode):
            fix = fix or "write it into a file and name that"
            raise error(f"is {name}, not a file", file=path, fix=fix)
    return status.st_size
