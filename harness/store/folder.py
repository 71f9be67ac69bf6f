"""The store in a folder: four verbs and ``samples`` for runs, and a part for everything else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from steelyard.harness.records import Rows, Run, SampleRecord
from steelyard.harness.store.checkpoint_folders import CheckpointFolders
from steelyard.harness.store.current import CurrentRuns, FolderDocuments
from steelyard.harness.store.index import Index
from steelyard.harness.store.layout import Layout
from steelyard.harness.store.leases import FileLeases
from steelyard.harness.store.logs import Logs
from steelyard.harness.store.rows_file import read_rows
from steelyard.harness.store.run_digests import require_digest
from steelyard.harness.store.run_folder import ROWS_FILE, SAMPLES_FILE, read_run
from steelyard.harness.store.run_folders import RunFolders, index_entry, run_ids
from steelyard.harness.store.samples_file import read_samples
from steelyard.harness.store.stages import StageFiles, Unfinished
from steelyard.harness.store.upkeep import FolderUpkeep


@dataclass(frozen=True, eq=False)
class FolderStore:
    """Runs, checkpoints and finished stages in a folder; made by ``open_store``.

    It is a :class:`~steelyard.harness.store.protocol.Store`. What the pipeline resumes from, and
    what looks after the whole, are parts of it.
    """

    layout: Layout
    name: str
    """The store, for people: the folder, or a database's address without what is secret."""
    workspace: Path
    """What ``open_store`` opens this store from again, in another process."""
    runs: RunFolders
    """Which runs there are; one of them removed."""
    stages: StageFiles
    """What finished stages produced, by key."""
    checkpoints: CheckpointFolders
    """Checkpoints, by digest."""
    leases: FileLeases
    """Who is at work on which stage, or on the whole."""
    unfinished: Unfinished
    """What work under way resumes from: journals of responses, training states."""
    logs: Logs
    """What happened, and the tracebacks of failed stages."""
    upkeep: FolderUpkeep
    """Damage found, the index made anew, garbage removed."""

    @property
    def root(self) -> Path:
        """The folder."""
        return self.layout.root

    @property
    def current(self) -> CurrentRuns:
        """Which run each ``experiment/candidate`` means."""
        return self.runs.current

    def put(self, run: Run, rows: Sequence[Rows], samples: Sequence[SampleRecord]) -> None:
        """Store a run in one rename, as the current one of its name; the same id twice changes
        nothing else.

        Raises ``StoreError`` (disk full, no permission, ...), with nothing half-written.
        """
        # First: cut off in between, its name means a run that is not there, and no other.
        self.current.put(run)
        self.runs.publish(run, rows, samples)

    def get(self, reference: str | Path) -> Run:
        """The run named by an id or its prefix, ``experiment/candidate`` (the current one), or a
        folder.

        Raises ``UnknownNameError`` with near names, ``NoCurrentRunError`` where a candidate has no
        run now, ``StoreError`` where a prefix is ambiguous or the run is damaged.
        """
        return read_run(self.runs.folder(reference))

    def rows(self, reference: str | Path, task: str | None = None) -> tuple[Rows, ...]:
        """The rows of a run, of one task or of all, in the order in which they were put."""
        path = self.runs.folder(reference) / ROWS_FILE
        require_digest(path)
        return read_rows(path, task)

    def samples(self, reference: str | Path, task: str | None = None) -> tuple[SampleRecord, ...]:
        """The samples of a run, of one task or of all, in the order in which they were put."""
        path = self.runs.folder(reference) / SAMPLES_FILE
        require_digest(path)
        return read_samples(path, task)

    def find(self, **where: str | bool) -> Iterator[Run]:
        """Runs with these fields (id, experiment, candidate, suite, checkpoint, complete), oldest
        first; each is read when it is reached."""
        for summary in self.runs.summaries(**where):
            yield read_run(self.runs.fetched(summary.id))

    def close(self) -> None:
        """Give up this process's temporary folder; done at exit otherwise."""
        self.layout.close()


def folder_store(layout: Layout) -> FolderStore:
    """The store whose folder is laid out so."""
    index = Index(
        layout.index, layout.open_lock, lambda: run_ids(layout), lambda id: index_entry(layout, id)
    )
    leases = FileLeases(layout)
    current = CurrentRuns(
        FolderDocuments(layout),
        index,
        is_there=lambda id: (layout.runs / id).is_dir(),
        held=leases.held,
        root=layout.root,
    )
    return FolderStore(
        layout,
        name=str(layout.root),
        workspace=layout.root,
        runs=RunFolders(layout, index, current),
        stages=StageFiles(layout),
        checkpoints=CheckpointFolders(layout),
        leases=leases,
        unfinished=Unfinished(layout),
        logs=Logs(layout),
        upkeep=FolderUpkeep(layout, leases, current, index.rebuild),
    )
