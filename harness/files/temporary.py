"""Folders in ``$TMPDIR`` that a killed process does not leave for ever.

Each process has one folder, ``steelyard-<8 digits>``, and all that it needs for a while lies in it.
A lock in it, which the kernel gives back when the process dies, says whether anybody lives there:
the next start removes those of the dead, its own user's alone, and never touches another's.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import util
from pathlib import Path

PREFIX, OWNER = "steelyard-", "owner.lock"
#: A folder whose process was killed before it could say so is left alone for so long.
_BEGINNING_SECONDS = 60.0

_own: tuple[Path, int] | None = None
"""This process's folder and its lock."""
_guard = threading.Lock()
_kept = False
"""Whether the folder is asked for until the process ends, and not for a block."""


@contextmanager
def temporary_folder(purpose: str) -> Iterator[Path]:
    """An empty folder that is gone at the end of the block, or once this process is gone."""
    with _guard:
        folder = _made() / f"{purpose}-{uuid.uuid4().hex[:8]}"
        folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with _guard:
            _give_up_if_empty()


def own_folder() -> Path:
    """This process's folder, kept until it ends; the first call removes those of the dead too.

    Raises ``OSError`` where ``$TMPDIR`` cannot be written.
    """
    global _kept
    with _guard:
        folder = _made()
        _kept = True
    return folder


def _made() -> Path:
    global _own
    if _own is None or not _own[0].is_dir():
        remove_abandoned()
        folder = Path(tempfile.gettempdir(), f"{PREFIX}{uuid.uuid4().hex[:8]}")
        folder.mkdir(mode=0o700)
        lock = os.open(folder / OWNER, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.write(lock, f"process {os.getpid()}\n".encode())
        _own = folder, lock
        # Processes that multiprocessing starts end without `atexit`, but not without this.
        util.Finalize(None, shutil.rmtree, args=(folder, True), exitpriority=-200)
    return _own[0]


def _give_up_if_empty() -> None:
    """A process may end without a word (`os._exit`): what it needs no more is gone before."""
    global _own
    if _own is None or _kept or [p.name for p in _own[0].iterdir()] != [OWNER]:
        return
    folder, lock = _own
    _own = None
    shutil.rmtree(folder, ignore_errors=True)
    os.close(lock)


def remove_abandoned() -> None:
    """Remove the folders of this user's processes that are gone; what cannot be is left."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            if folder.is_dir() and folder.lstat().st_uid == os.getuid():
                _remove_if_abandoned(folder)
        except OSError:
            continue


def _remove_if_abandoned(folder: Path) -> None:
    lock = os.open(folder / OWNER, os.O_RDWR | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        status = os.fstat(lock)
        begun = status.st_size > 0 or time.time() - status.st_mtime > _BEGINNING_SECONDS
        if begun:
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)


def _forget_in_child() -> None:
    # A forked child would hold the lock for its dead parent; what it needs lies in its own folder.
    global _own, _kept, _guard
    if _own is not None:
        os.close(_own[1])
    _own, _kept, _guard = None, False, threading.Lock()


os.register_at_fork(after_in_child=_forget_in_child)
