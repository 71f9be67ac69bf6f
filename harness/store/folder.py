"""The store: one immutable folder a run, checkpoints by digest, stages by key, all atomic."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steelyard.harness.errors import StoreError, UnknownNameError, did_you_mean
from steelyard.harness.records import Rows, Run, SampleRecord
from steelyard.harness.store import events, stages, upkeep
from steelyard.harness.store.atomic import storage_errors
from steelyard.harness.store.layout import SAFE_NAME, Layout, digest_name, safe_name
from steelyard.harness.store.locks import lease, writer_lock
from steelyard.harness.store.rows_file import read_rows
from steelyard.harness.store.runs import (
    ROWS_FILE,
    RUN_FILE,
    SAMPLES_FILE,
    intact,
    publish_run,
    read_run,
)
from steelyard.harness.store.samples_file import read_samples

if TYPE_CHECKING:
    from steelyard.harness.store.index import Index


@dataclass(frozen=True)
class RunSummary:
    """What a listing shows of a run, read from the index alone."""

    id: str
    experiment: str
    candidate: str
    suite: str
    checkpoint: str
    """Digest."""
    complete: bool
    created_at: str

    @property
    def name(self) -> str:
        """``experiment/candidate``."""
        return f"{self.experiment}/{self.candidate}"


_SUMMARY_FIELDS = tuple(RunSummary.__dataclass_fields__)


class FolderStore:
    """Runs, checkpoints and finished stages in a folder; made by ``open_store``."""

    #: Whether the folder is where the truth lies, so that every write waits for the disk.
    durable = True

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._index: Index | None = None

    @property
    def root(self) -> Path:
        """The workspace folder."""
        return self.layout.root

    @property
    def workspace(self) -> Path:
        """What ``open_store`` opens this store from again, in another process."""
        return self.root

    @property
    def name(self) -> str:
        """The store, for people: the folder, or a database's address without what is secret."""
        return str(self.root)

    # --- runs -------------------------------------------------------------------------------

    def put(self, run: Run, rows: Sequence[Rows], samples: Sequence[SampleRecord]) -> None:
        """Store a run in one rename; the same id twice is no change.

        Raises ``StoreError`` (disk full, no permission, ...), with nothing half-written.
        """
        target = self.layout.runs / safe_name(run.id, "run id")
        if target.exists():
            if intact(target):
                return
            self.layout.discard(target)
        publish_run(self.layout, target, run, rows, samples, durable=self.durable)

    def stored(self, id: str) -> Run | None:
        """The run with exactly this id; None where it is not there or no longer intact."""
        folder = self.layout.runs / safe_name(id, "run id")
        return read_run(folder) if intact(folder) else None

    def get(self, reference: str | Path) -> Run:
        """The run named by an id or its prefix, ``experiment/candidate`` (the newest), or a folder.

        Raises ``UnknownNameError`` with near names, or ``StoreError`` where a prefix is ambiguous
        or the run is damaged.
        """
        return read_run(self._folder(str(reference)))

    def rows(self, reference: str | Path, task: str | None = None) -> tuple[Rows, ...]:
        """The rows of a run, of one task or of all, in the order in which they were put."""
        return read_rows(self._folder(str(reference)) / ROWS_FILE, task)

    def samples(self, reference: str | Path, task: str | None = None) -> tuple[SampleRecord, ...]:
        """The samples of a run, of one task or of all, in the order in which they were put."""
        return read_samples(self._folder(str(reference)) / SAMPLES_FILE, task)

    def find(self, **where: str | bool) -> Iterator[Run]:
        """Runs with these fields (id, experiment, candidate, suite, checkpoint, complete), oldest
        first; each is read when it is reached."""
        for summary in self.summaries(**where):
            yield read_run(self._fetched(summary.id))

    def summaries(self, **where: str | bool) -> list[RunSummary]:
        """The same as ``find``, from the index alone: no run is opened."""
        from steelyard.harness.store.index import WHERE

        for name in where:
            if name not in WHERE:
                raise StoreError(f"runs have no field '{name}'", fix=did_you_mean(name, WHERE))
        return [
            RunSummary(
                r.id, r.experiment, r.candidate, r.suite, r.checkpoint, r.complete, r.created_at
            )
            for r in self._indexed().find(where)
        ]

    def delete(self, reference: str | Path) -> str:
        """Remove a run; its id. Checkpoints stay until ``gc``."""
        folder = self._folder(str(reference))
        if folder.parent != self.layout.runs:
            raise StoreError("not a run of this workspace", file=folder)
        self.layout.discard(folder)
        return folder.name

    def _folder(self, reference: str) -> Path:
        """The folder of the run that ``reference`` names."""
        if SAFE_NAME.fullmatch(reference) and self._has(reference):
            return self._fetched(reference)
        started = self._indexed().ids_starting(reference) if reference else []
        if len(started) > 1:
            shown = ", ".join(started[:8]) + (", ..." if len(started) > 8 else "")
            raise StoreError(
                f"'{reference}' begins {len(started)} run ids: {shown}", fix="add digits"
            )
        if started:
            return self._fetched(started[0])
        experiment, _, candidate = reference.rpartition("/")
        named = self.summaries(experiment=experiment, candidate=candidate)
        if named:
            return self._fetched(named[-1].id)
        if reference and (folder := Path(reference)).is_dir() and (folder / RUN_FILE).is_file():
            return folder.absolute()
        known = {name for s in self.summaries() for name in (s.name, s.id[:12])}
        raise UnknownNameError(
            f"no run named '{reference}' in {self.root}", fix=did_you_mean(reference, known)
        )

    def _has(self, id: str) -> bool:
        return (self.layout.runs / id).is_dir()

    def _fetched(self, id: str) -> Path:
        """The folder of a run that there is; a shared store brings it here first."""
        return self.layout.runs / id

    def _indexed(self) -> Index:
        if self._index is None:
            from steelyard.harness.store.index import Index

            self._index = Index(
                self.layout.index, self.layout.open_lock, self._ids, self._index_entry
            )
        return self._index

    def _ids(self) -> set[str]:
        if not self.layout.runs.is_dir():
            return set()
        return {path.name for path in self.layout.runs.iterdir()}

    def _index_entry(self, id: str) -> dict[str, Any] | None:
        from steelyard.harness.store.index import entry

        folder = self.layout.runs / id
        try:
            return entry(read_run(folder), (folder / RUN_FILE).stat().st_mtime_ns)
        except (StoreError, OSError):
            return None  # `check` names it; a listing shows what can be read

    # --- stages, checkpoints, journals ------------------------------------------------------

    def stage(self, key: str) -> dict[str, Any] | None:
        """What the stage ``key`` produced; None where it has not finished or is damaged."""
        return stages.read_stage(self.layout, key)

    def finish_stage(self, key: str, payload: dict[str, Any]) -> None:
        """Record that a stage has finished, and what it produced, in one rename."""
        stages.finish_stage(self.layout, key, payload)

    def lease(self, key: str) -> AbstractContextManager[bool]:
        """Try to be the one process that carries out the stage ``key``; the block is told whether.

        True: nobody else gets True for ``key`` until the block ends or this process dies (at once
        in a folder; after the lease has expired unrenewed in a database). False: somebody else
        has it, or has just finished, so look at ``stage(key)`` again. It never waits. Ask
        ``stage(key)`` inside the block too: another may have finished between look and lease.
        """
        self.layout.create()
        return lease(self.layout.leases / f"{safe_name(key, 'stage key')}.lock")

    def leased_by(self, key: str) -> str | None:
        """Who carries out the stage ``key``, in words; None where nobody does or is known to."""
        try:
            path = self.layout.leases / f"{safe_name(key, 'stage key')}.lock"
            return path.read_text("utf-8", errors="replace")[:400] or None
        except OSError:
            return None

    def log_event(self, text: str) -> None:
        """Append a line (time, machine, process, ``text``) to the workspace's log of events.

        Never raises: a full disk must not stop the work that still has room.
        """
        events.append(self.layout, text)

    def events(self) -> list[str]:
        """The lines of the log of events, oldest first."""
        return events.read(self.layout)

    def new_checkpoint_folder(self, key: str) -> Path:
        """An empty folder, private to this process, that vanishes if the process dies."""
        return stages.new_checkpoint_folder(self.layout, key)

    def adopt_checkpoint(self, folder: Path, digest: str) -> Path:
        """Move a finished checkpoint to its place by digest; one that is there already stays."""
        return stages.adopt_checkpoint(self.layout, folder, digest)

    def checkpoint(self, digest: str) -> Path | None:
        """The folder of the checkpoint ``digest``; None where it is not in the store."""
        return stages.checkpoint(self.layout, digest)

    def checkpoint_path(self, digest: str) -> Path:
        """Where a checkpoint of this digest lies, or will lie."""
        return self.layout.checkpoints / digest_name(digest)

    def discard_checkpoint(self, digest: str) -> None:
        """Remove a checkpoint (a damaged one, say), so that it is made again."""
        stages.discard_checkpoint(self.layout, digest)

    def journal_path(self, digest: str) -> Path:
        """The file in which the responses of the checkpoint ``digest`` are journalled."""
        return stages.journal_path(self.layout, digest)

    def state_folder(self, key: str) -> Path:
        """A folder for saved training states that outlives a killed process."""
        return stages.state_folder(self.layout, key)

    def log_path(self, name: str) -> Path:
        """The file that ``write_log`` writes."""
        return self.layout.logs / f"{re.sub(r'[^A-Za-z0-9_-]+', '_', name)[:150]}.log"

    def write_log(self, name: str, text: str) -> Path:
        """Keep a failed stage's traceback; the newest replaces the last."""
        path = self.log_path(name)
        self.layout.create()
        with storage_errors(self.root, "write a log"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, "utf-8", errors="backslashreplace")
        return path

    # --- the whole --------------------------------------------------------------------------

    def writing(
        self,
        *,
        wait_seconds: float | None = 0.0,
        on_wait: Callable[[str], None] | None = None,
        shared: bool = False,
    ) -> AbstractContextManager[None]:
        """Hold the workspace for one job.

        ``shared`` is for `steelyard run`: several work side by side (leases keep them off the same
        stage), and only what needs the workspace alone (``gc``) keeps them out or is kept out.

        Raises ``StoreError`` that names the holder after ``wait_seconds`` (None: wait for ever).
        Single puts need no lock.
        """
        self.layout.create()
        return writer_lock(
            self.layout.writer_lock, wait_seconds=wait_seconds, on_wait=on_wait, shared=shared
        )

    def check(self) -> list[str]:
        """Every damage in the workspace, in words; empty where all is well."""
        return upkeep.check(self.layout)

    def rebuild(self) -> int:
        """Make the index anew from the run folders; the number of runs in it."""
        return self._indexed().rebuild()

    def gc(self, *, dry_run: bool = True) -> list[upkeep.Garbage]:
        """What no run and no stage refers to; removed unless ``dry_run``.

        Raises ``StoreError`` where a `steelyard run` holds the workspace: what it has just made is
        not referred to yet.
        """
        if dry_run or not self.root.exists():
            return upkeep.gc(self.layout, dry_run=True)
        with self.writing():
            return upkeep.gc(self.layout, dry_run=False)

    def close(self) -> None:
        """Give up this process's temporary folder; done at exit otherwise."""
        self.layout.close()
