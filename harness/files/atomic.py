"""The one way a file is written that others may read: whole or not at all.

A process that is killed anywhere leaves the old file or the new one, never half of either.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

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

    The temporary file has one name for each ``path``, so that the next write takes over what a
    killed one left, and no folder fills with them.

    Args:
        path: what may be there already is replaced; folders on the way there are made.
        content: text is written as UTF-8, its line ends as they are.
        durable: wait until the disk has it. What can be made again need not be.

    Raises:
        StoreError: disk full, no permission; the old file is still there.
    """
    with storage_errors(path, "write"):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.tmp")
        with _locked(temporary) as stream:
            _fill(stream, content, durable)
            temporary.replace(path)
        if durable:
            sync_folder(path.parent)


@contextmanager
def _locked(temporary: Path) -> Iterator[BinaryIO]:
    """The empty file at ``temporary``, which no other process writes meanwhile; after an error it
    is gone.

    It lies in a folder that others may write to: a link or a pipe under its name is not followed,
    and what has a second name is not emptied.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    while True:
        try:
            descriptor = os.open(temporary, flags, 0o666)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            temporary.unlink(missing_ok=True)  # a link
            continue
        stream = os.fdopen(descriptor, "wb")
        fcntl.flock(stream, fcntl.LOCK_EX)
        if _is_still_at(stream, temporary):
            break
        stream.close()  # its writer has moved it to its place: the next one is ours
    with stream:
        try:
            stream.truncate(0)
            yield stream
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _is_still_at(stream: BinaryIO, path: Path) -> bool:
    """Whether the open file is the one at ``path``, by that name alone; another is removed."""
    ours = os.fstat(stream.fileno())
    try:
        there = path.stat(follow_symlinks=False)
    except FileNotFoundError:
        return False
    if not os.path.samestat(ours, there):
        return False
    if stat.S_ISREG(ours.st_mode) and ours.st_nlink == 1:
        return True
    path.unlink(missing_ok=True)
    return False


def _fill(stream: BinaryIO, content: str | bytes, durable: bool) -> None:
    stream.write(content.encode() if isinstance(content, str) else content)
    stream.flush()
    if durable:
        os.fsync(stream.fileno())


def replace_file(
    path: Path, content: str | bytes, temporary: Path, *, durable: bool = True
) -> None:
    """As :func:`write_atomic`, through ``temporary`` on the same file system.

    Raises ``OSError``; whatever happens, ``temporary`` is gone.
    """
    try:
        with temporary.open("xb") as stream:
            _fill(stream, content, durable)
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
