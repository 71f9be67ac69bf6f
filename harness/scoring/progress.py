"""One progress bar over everything that a scorer is asked for."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from steelyard.harness.files import console


@dataclass(frozen=True)
class Progress:
    """How far scoring is. ``tokens`` counts what ran through the model, not what was asked."""

    done: int
    total: int
    tokens: int
    seconds: float

    @property
    def tokens_per_second(self) -> float | None:
        """Mean speed since the start; None before anything ran."""
        return self.tokens / self.seconds if self.tokens and self.seconds > 0 else None

    @property
    def seconds_left(self) -> float | None:
        """Time left at the mean pace so far; None before anything is done."""
        return self.seconds / self.done * (self.total - self.done) if self.done else None


Report = Callable[[Progress], None]


class ProgressMeter:
    """Counts requests and tokens, and tells ``report``, or a bar on a terminal, or nobody.

    The requests of a suite come to a scorer in several calls (one for each request type):
    :meth:`expect` the whole number first and one bar runs over all of them.
    """

    def __init__(self, report: Report | None = None) -> None:
        self._report = report or (_TerminalBar() if sys.stderr.isatty() else None)
        self._expected = 0
        self._asked = 0
        self._done = 0
        self._tokens = 0
        self._started_at = 0.0

    def expect(self, requests: int) -> None:
        """Announce that the next calls ask for this many requests in all."""
        self._expected = requests
        self._asked = self._done = self._tokens = 0
        self._started_at = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(self._report, _TerminalBar) and (error or self._done >= self._total):
            self._report.close()

    def ask(self, requests: int) -> Self:
        """A call for this many requests begins."""
        if self._done >= self._total:
            self.expect(max(requests, 0))
        self._asked += requests
        return self

    def advance(self, requests: int, tokens: int = 0) -> None:
        """This many requests are done; ``tokens`` of theirs ran through the model."""
        self._done += requests
        self._tokens += tokens
        if self._report is not None:
            seconds = time.monotonic() - self._started_at
            self._report(Progress(self._done, self._total, self._tokens, seconds))

    @property
    def _total(self) -> int:
        return max(self._expected, self._asked)


class _TerminalBar:
    """A rich bar on standard error."""

    def __init__(self) -> None:
        self._bar: RichProgress | None = None
        self._task = TaskID(0)

    def __call__(self, progress: Progress) -> None:
        bar = self._bar = self._bar or self._opened(progress.total)
        speed = progress.tokens_per_second
        bar.update(
            self._task,
            completed=progress.done,
            total=progress.total,
            speed=f"{speed:,.0f} tokens/s" if speed else "",
        )
        if progress.done >= progress.total:
            self.close()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _opened(self, total: int) -> RichProgress:
        bar = RichProgress(
            TextColumn("scoring"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
            console=console(error=True),
            transient=True,
        )
        self._task = bar.add_task("scoring", total=total, speed="")
        bar.start()
        return bar
