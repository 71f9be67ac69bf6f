"""Waiting for a network store that is away for a minute: said once, tried again, then an error."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from typing import TypeVar

from steelyard.harness.errors import StoreError

#: How long a store may be away before a stage fails.
PATIENCE_SECONDS = 120.0
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 8.0

T = TypeVar("T")
Say = Callable[[str], None]


def on_screen(line: str) -> None:
    """A line on standard error."""
    print(line, file=sys.stderr, flush=True)


def patiently(
    attempt: Callable[[], T],
    *,
    why: Callable[[Exception], str | None],
    where: str,
    seconds: float,
    say: Say,
) -> T:
    """What ``attempt`` returns, tried again for ``seconds`` while what it raises may pass.

    ``why`` says in words what is wrong where an error may pass, and None where it will not: such
    an error is raised at once. Pauses double from 0.2 to 8 seconds, with a random half, so that
    many drivers do not come back at the same moment. ``attempt`` must be safe to repeat.

    Raises ``StoreError`` that names ``where`` once the time is up.
    """
    started = time.monotonic()
    pause = FIRST_PAUSE_SECONDS
    announced = False
    while True:
        try:
            result = attempt()
        except Exception as error:
            reason = why(error)
            if reason is None:
                raise
            waited = time.monotonic() - started
            if waited + pause > seconds:
                raise StoreError(
                    f"away for {waited:.0f} s ({reason})",
                    file=where,
                    fix="the same command goes on from here once it is back",
                ) from None
            if not announced:
                say(f"{where}: {reason}; trying again for {seconds:.0f} s")
                announced = True
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
        else:
            if announced:
                say(f"{where}: back after {time.monotonic() - started:.0f} s")
            return result
