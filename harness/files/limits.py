"""How much a stranger's template or pattern may take of time and memory.

Loops in loops and backtracking never end, and ``'x' * 10**10`` is ten gigabytes.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from steelyard.harness.errors import SteelyardError


@contextmanager
def time_limit(seconds: float, error: SteelyardError) -> Iterator[None]:
    """Raise ``error`` in the block once it has taken so long; Python's ``re`` is stopped too.

    The system's alarm reaches the main thread alone: elsewhere the block runs as long as it likes.
    An alarm of somebody else's goes on behind the block; an earlier one comes first.
    """
    is_main = threading.current_thread() is threading.main_thread()
    theirs = signal.getitimer(signal.ITIMER_REAL)[0] if is_main else 0.0
    if not is_main or 0 < theirs < seconds:
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise error

    started = time.monotonic()
    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if theirs:
            left = theirs - (time.monotonic() - started)
            signal.setitimer(signal.ITIMER_REAL, max(left, 0.001))


@contextmanager
def memory_limit(megabytes: int, error: SteelyardError) -> Iterator[None]:
    """Raise ``error`` in the block once it asks for so much more memory than the process has.

    The system refuses the allocation, whatever asks for it: a text times a number, a width in a
    format, a text that doubles. A lower bound that somebody else set holds, with ``MemoryError``.
    Where the system knows no such bound (it is Linux that does) the block takes what it likes.
    """
    if sys.platform != "linux":
        yield
        return
    import resource

    before = soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = _address_space() + megabytes * 1024**2
    if any(bound != resource.RLIM_INFINITY and bound <= most for bound in before):
        yield
        return
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    try:
        yield
    except MemoryError:
        raise error from None
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _address_space() -> int:
    """Bytes of this process's addresses; read without Python's files, for each text asks it."""
    descriptor = os.open("/proc/self/statm", os.O_RDONLY)
    try:
        pages = int(os.read(descriptor, 64).split()[0])
    finally:
        os.close(descriptor)
    return pages * os.sysconf("SC_PAGE_SIZE")
