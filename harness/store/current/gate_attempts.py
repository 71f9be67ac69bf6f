"""How often each candidate was tried: the checkpoints of its name that a suite was asked of.

Whoever trains again until the gate says PASS has chosen one of several, as surely as whoever gates
several at once. A checkpoint counts once, however often it is gated, and stays counted when its
run is removed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import Field

from steelyard.harness.errors import StoreError
from steelyard.harness.records import Record, Run
from steelyard.harness.store.current.documents import Documents
from steelyard.harness.store.current.record import VERSION, document_name, read_as
from steelyard.harness.store.index import RunIndex

#: How the documents' names begin.
GATED = "gated"


class GatedRecord(Record):
    """The checkpoints of ``experiment/candidate`` that were tried."""

    version: int = VERSION
    experiment: str
    candidate: str
    checkpoints: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    """Suite -> digests, in the order in which they were first seen."""


@dataclass(frozen=True)
class GateAttempt:
    """Which attempt of its candidate a checkpoint is, from 1, and how many there were by now."""

    number: int = 1
    total: int = 1


class GateAttempts:
    """Counts them, in one store.

    Args:
        documents: where they are recorded.
        index: the runs that there are: what was scored was tried, gated or not.
    """

    def __init__(self, documents: Documents, index: RunIndex) -> None:
        self._documents = documents
        self._index = index

    def counted(self, experiment: str, candidate: str, suite: str, checkpoint: str) -> GateAttempt:
        """The attempt that ``checkpoint`` is; a new one is recorded.

        A workspace that cannot be written counts what it knows and this one.
        """
        name = document_name(experiment, candidate, GATED)

        def recorded() -> tuple[str, ...]:
            old = self._read(name, experiment, candidate)
            digests = self._digests(old, suite, checkpoint)
            if digests != old.checkpoints.get(suite, ()):
                every = {**old.checkpoints, suite: digests}
                new = old.model_copy(update={"checkpoints": every})
                self._documents.write(name, new.model_dump(mode="json"))
            return digests

        try:
            digests = self._documents.alone(recorded)
        except StoreError:
            digests = self._digests(self._read(name, experiment, candidate), suite, checkpoint)
        return GateAttempt(digests.index(checkpoint) + 1, len(digests))

    def of(self, run: Run) -> GateAttempt:
        """The attempt that a scored run is."""
        return self.counted(run.experiment, run.candidate, run.suite, run.checkpoint.digest)

    def _digests(self, old: GatedRecord, suite: str, checkpoint: str) -> tuple[str, ...]:
        where = {"experiment": old.experiment, "candidate": old.candidate, "suite": suite}
        scored = [summary.checkpoint for summary in self._index.find(where)]
        return tuple(dict.fromkeys([*old.checkpoints.get(suite, ()), *scored, checkpoint]))

    def _read(self, name: str, experiment: str, candidate: str) -> GatedRecord:
        value = self._documents.read(name)
        if value is None:
            return GatedRecord(experiment=experiment, candidate=candidate)
        what = f"the record of the attempts at {experiment}/{candidate} (current/{name}.json)"
        return read_as(GatedRecord, value, what)
