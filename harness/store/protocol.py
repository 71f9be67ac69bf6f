"""What a store is to whoever puts, reads or compares runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from steelyard.harness.records import Rows, Run, SampleRecord


@runtime_checkable
class Store(Protocol):
    """Runs with their rows and samples; all that comparing, judging and reporting ask of a store.

    A run is named by its id, the beginning of it, ``experiment/candidate`` (the current one), or
    its folder. What trains and scores needs more: the parts of
    :class:`~steelyard.harness.store.folder.FolderStore`.
    """

    def put(self, run: Run, rows: Sequence[Rows], samples: Sequence[SampleRecord]) -> None:
        """Store a run, whole or not at all: from now on it is what its name means. The same id
        twice changes nothing else."""

    def get(self, reference: str | Path) -> Run:
        """The run. Raises ``UnknownNameError`` where there is none of this name, and
        ``NoCurrentRunError`` where there is none now."""

    def rows(self, reference: str | Path, task: str | None = None) -> tuple[Rows, ...]:
        """The rows of a run, of one task or of all, in the order in which they were put."""

    def samples(self, reference: str | Path, task: str | None = None) -> tuple[SampleRecord, ...]:
        """The samples of a run, of one task or of all, in the order in which they were put."""

    def find(self, **where: str | bool) -> Iterator[Run]:
        """Runs with these fields (id, experiment, candidate, suite, checkpoint, complete), oldest
        first; each is read when it is reached."""
