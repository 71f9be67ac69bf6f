"""Locks between processes, by ``flock``: the kernel drops them when their owner dies."""

from __future__ import annotations

import fcntl
import os
import socket
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from steelyard.harness.errors import StoreError
from steelyard.harness.files import redacted

POLL_SECONDS = 0.1


class FileLock:
    """An exclusive lock on a file, held until ``release`` or the end of the process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None
        _LOCKS.add(self)

    def acquire(self, *, blocking: bool = True, shared: bool = False) -> bool:
        """Take the lock; False where ``blocking`` is off and another holds it.

        ``shared`` holders bear each other, and keep an exclusive one out.
        """
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(descriptor, kind | (0 if blocking else fcntl.LOCK_NB))
        except BlockingIOError:
            os.close(descriptor)
            return False
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Give the lock back; safe to call twice."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def in_place(self) -> bool:
        """Whether the held file is still the one at ``path`` (a holder removes it at the end)."""
        assert self._descriptor is not None, "only the holder asks"
        try:
            return os.path.samestat(os.fstat(self._descriptor), self.path.stat())
        except FileNotFoundError:
            return False

    def note(self, text: str) -> None:
        """Leave a word for those who wait, in the locked file."""
        assert self._descriptor is not None, "only the holder leaves a note"
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, text.encode(), 0)


_LOCKS: weakref.WeakSet[FileLock] = weakref.WeakSet()


def _forget_in_child() -> None:
    # A forked worker inherits the open file and with it the lock; an orphan that outlives a killed
    # `steelyard run` would then lock the next one out.
    for lock in list(_LOCKS):
        lock.release()


os.register_at_fork(after_in_child=_forget_in_child)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock for the block; waits for other holders, who hold it for moments."""
    lock = FileLock(path)
    lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def writer_lock(
    path: Path,
    *,
    wait_seconds: float | None,
    on_wait: Callable[[str], None] | None = None,
    shared: bool = False,
) -> Iterator[None]:
    """Hold a workspace for one long job.

    Args:
        path: the lock file.
        shared: several jobs may hold it so at a time; one that is not shared waits for them.
        wait_seconds: how long to wait for another holder; None for as long as it takes.
        on_wait: called once with who holds it, before waiting.

    Raises:
        StoreError: it is still held after ``wait_seconds``; the message says by whom.
    """
    lock = FileLock(path)
    deadline = None if wait_seconds is None else time.monotonic() + wait_seconds
    announced = False
    while not lock.acquire(blocking=False, shared=shared):
        holder = _holder(path)
        if deadline is not None and time.monotonic() >= deadline:
            raise StoreError(
                f"in use by {holder}",
                file=path.parent,
                fix="wait for it to finish, or work in another folder with --workspace",
            )
        if on_wait is not None and not announced:
            on_wait(holder)
            announced = True
        time.sleep(POLL_SECONDS)
    try:
        lock.note(this_process())
        yield
    finally:
        lock.release()


@contextmanager
def lease(path: Path) -> Iterator[bool]:
    """Try to hold ``path`` for the block: True where it is ours, False where another has it.

    It never waits. The lock file goes when its holder is done; when the holder dies, the kernel
    gives the lock back and the next one to ask has it.
    """
    lock = FileLock(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    while held := lock.acquire(blocking=False):
        if lock.in_place():
            break
        lock.release()  # its holder removed the file while we opened it: this is no lock
    if not held:
        yield False
        return
    try:
        lock.note(this_process())
        yield True
    finally:
        path.unlink(missing_ok=True)
        lock.release()


def this_process() -> str:
    """Who holds a lock, for those who wait."""
    command = redacted(" ".join([Path(sys.argv[0]).name, *sys.argv[1:]]))[:200]
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return f"process {os.getpid()} on {socket.gethostname()} ('{command}', since {since})"


def _holder(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace")[:400] or "another process"
    except OSError:
        return "another process"
