"""One stage of an experiment's graph, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from steelyard.harness.experiment import Resources
from steelyard.harness.pipeline.events import Event, Status
from steelyard.harness.records import stage_log

Kind = Literal["train", "score", "shard"]
StageStatus = Literal["done", "failed", "skipped", "busy"]


NOTHING_SPECIAL = Resources()


@dataclass(frozen=True)
class Stage:
    """A piece of work that is done whole or not at all; a plain value that travels to a worker."""

    name: str
    """Unique in its graph, and what people see: ``train lora``, ``score lora 2/4``."""
    kind: Kind
    candidate: str
    after: tuple[str, ...] = ()
    """Names of the stages whose results it reads from the store."""
    resources: Resources = NOTHING_SPECIAL
    share: tuple[int, int] = (0, 1)
    """Of a shard: which one, of how many."""

    @property
    def label(self) -> str:
        """The candidate, and of a shard which one: ``lora 2/4``."""
        if self.kind != "shard":
            return self.candidate
        return f"{self.candidate} {self.share[0] + 1}/{self.share[1]}"

    @property
    def log(self) -> str:
        """The name of its log: ``train-lora``."""
        return stage_log(self.name)

    def event(self, status: Status, message: str) -> Event:
        """Something that happened to it, for those who watch."""
        return Event("train" if self.kind == "train" else "score", self.label, status, message)


@dataclass(frozen=True)
class StageOutcome:
    """How a stage ended. Its result is in the store, under ``reference``."""

    stage: str
    status: StageStatus
    reference: str | None = None
    """The stage's key (train), the run's id (score)."""
    message: str = ""
    """Why it failed or was skipped."""
    failed: tuple[str, ...] = ()
    """Of a skipped stage: which of the stages that it needs are not there."""
    unexpected: bool = False
    """Of a failed stage: it is no mistake of the user's (a panic, no memory, a lost worker)."""


class StageBusyError(Exception):
    """Another process is carrying out this very stage; come back later."""

    def __init__(self, key: str, holder: str | None) -> None:
        super().__init__(f"{key} is under way in {holder or 'another process'}")
