"""The one way a file is written that others may read: whole or not at all.

A process that is killed anywhere leaves the old file or the new one, never half of either.
"""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from steelyard.harness.errors import StoreError

ELSEWHERE = "choose another folder"
_FIXES = {
    errno.ENOSPC: "free some space, or {elsewhere}",
    errno.EDQUOT: "raise the quota, or {elsewhere}",
    errno.EFBIG: "raise the file size limit (ulimit -f)",
    errno.EROFS: "{elsewhere}",
    errno.EACCES: "{elsewhere}",
    errno.EPERM: "{elsewhere}",
}


@contextmanager
def storage_errors(place: Path, what: str, elsewhere: str = ELSEWHERE) -> Iterator[None]:
    """Turn the system's errors (disk full, no permission, ...) into one line with a fix.

    Args:
        place: the file or folder that the error names.
        what: what was tried, after "cannot".
        elsewhere: how the user chooses another place, where that is what helps.
    """
    try:
        yield
    except OSError as error:
        fix = _FIXES.get(error.errno or 0)
        raise StoreError(
            f"cannot {what}: {error.strerror or error}",
            file=place,
            fix=None if fix is None else fix.format(elsewhere=elsewhere),
        ) from error


def write_atomic(path: Path, content: str | bytes, *, durable: bool = True) -> None:
    """Put ``content`` at ``path`` in one rename, through a temporary file beside it.

    Args:
        path: what may be there already is replaced; folders on the way there are made.
        content: text is written as UTF-8, its line ends as they are.
        durable: wait until the disk has it. What can be made again need not be.

    Raises:
        StoreError: disk full, no permission; the old file is still there.
    """
    with storage_errors(path, "write"):
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")
        replace_file(path, content, beside, durable=durable)


def replace_file(
    path: Path, content: str | bytes, temporary: Path, *, durable: bool = True
) -> None:
    """As :func:`write_atomic`, through ``temporary`` on the same file system.

    Raises ``OSError``; whatever happens, ``temporary`` is gone.
    """
    try:
        with temporary.open("xb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries; some network file systems cannot, and are forgiven."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP, errno.EBADF}:
            raise
    finally:
        os.close(descriptor)
