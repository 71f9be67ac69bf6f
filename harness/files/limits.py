"""How long a stranger's template or pattern may take: loops in loops and backtracking never end."""

from __future__ import annotations

import signal
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
