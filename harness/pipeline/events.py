"""What a person watching a run wants to see; drawn by the command line, ignored by libraries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Stage = Literal["open", "build", "plan", "train", "score", "compare", "report"]
Status = Literal["start", "progress", "done", "reused", "failed", "skipped", "again", "waiting"]


@dataclass(frozen=True)
class Event:
    """One step of one stage of one candidate; ``done`` of ``total`` where it is progress."""

    stage: Stage
    candidate: str
    status: Status
    message: str = ""
    done: int = 0
    total: int | None = None


Listener = Callable[[Event], None]


def no_listener(event: Event) -> None:
    """Watches nothing."""
