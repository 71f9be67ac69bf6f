"""One `steelyard run` or `train`: until it has said what a candidate came to, nothing is current.

Its document is written before anything else happens, so that a process killed anywhere leaves word
of what it did not finish; the run of before would answer for settings that were never tried.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from steelyard.harness.records import Run


class Register(Protocol):
    """What writes down what each candidate came to: ``CurrentRuns``."""

    def settle(self, run: Run, *, stored: Collection[str], attempt: str, file: str | None) -> None:
        """``run`` is current."""

    def settle_checkpoint(
        self, experiment: str, candidate: str, digest: str, *, attempt: str, file: str | None
    ) -> None:
        """``digest`` is the present checkpoint."""

    def clear(
        self,
        experiment: str,
        candidate: str,
        why: str,
        *,
        checkpoint: str | None = None,
        attempt: str | None = None,
        file: str | None = None,
    ) -> None:
        """There is no current run."""


@dataclass
class Attempt:
    """Told of each candidate once it is known what it came to; made by ``CurrentRuns.attempt``."""

    register: Register
    id: str
    experiment: str
    file: str | None
    stored: Mapping[str, tuple[str, ...]]
    """Runs by candidate, of before."""
    unsettled: set[str] = field(default_factory=set)

    def scored(self, run: Run, candidate: str) -> None:
        """``run`` is what stands for the candidate now, whether it was just made or is reused."""
        stored = self.stored.get(candidate, ())
        self.register.settle(run, stored=stored, attempt=self.id, file=self.file)
        self.unsettled.discard(candidate)

    def trained(self, candidate: str, checkpoint: str) -> None:
        """The candidate's present checkpoint; a run of another one is no longer current."""
        self.register.settle_checkpoint(
            self.experiment, candidate, checkpoint, attempt=self.id, file=self.file
        )
        self.unsettled.discard(candidate)

    def failed(self, candidate: str, why: str, checkpoint: str | None = None) -> None:
        """The candidate has no current run, and ``why`` is what its users are told."""
        self.register.clear(
            self.experiment, candidate, why, checkpoint=checkpoint, attempt=self.id, file=self.file
        )
        self.unsettled.discard(candidate)
