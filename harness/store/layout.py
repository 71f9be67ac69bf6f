"""Where things lie in a workspace, and whose temporary files are whose.

.steelyard/
  runs/<id>/            run.json rows.parquet samples.parquet      immutable, the truth
  checkpoints/<digest>/ the checkpoint and its manifest.json       first 16 digits of the digest
  stages/<key>.json     what a finished stage produced
  current/<name>.json   which run of each candidate is its current one; part of the truth
  journal/              responses of scorings under way
  damaged/              runs that were put away, with what was wrong; nothing reads them
  states/<key>/         saved training states
  logs/                 tracebacks and output of stages
  leases/<key>.lock     held by the one process that carries out the stage
  events.log            what happened, one line each, only ever appended to
  index.sqlite          found again from runs/ whenever it is missing or damaged
  open.lock current.lock writer.lock
                        held for moments, and for the length of one `steelyard run`
  tmp/<owner>/          private to one living process; emptied when that process is gone
"""

from __future__ import annotations

import os
import re
import shutil
import uuid
import weakref
from dataclasses import dataclass, field
from pathlib import Path

from steelyard.harness.errors import StoreError
from steelyard.harness.store.atomic import storage_errors
from steelyard.harness.store.locks import FileLock, locked

#: Names that become part of a path: no separator, no leading dot, no way out of the workspace.
SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
DIGEST_CHARACTERS = 16
OWNER_LOCK = "owner.lock"


@dataclass
class Layout:
    """The paths of one workspace; nothing is created before the first write."""

    root: Path
    _owner: Path | None = field(default=None, repr=False)
    _owner_lock: FileLock | None = field(default=None, repr=False)

    @property
    def runs(self) -> Path:
        """One immutable folder a run."""
        return self.root / "runs"

    @property
    def checkpoints(self) -> Path:
        """One folder a checkpoint, by digest."""
        return self.root / "checkpoints"

    @property
    def stages(self) -> Path:
        """One JSON file a finished stage."""
        return self.root / "stages"

    @property
    def current(self) -> Path:
        """One JSON file a candidate: its current run, or why it has none."""
        return self.root / "current"

    @property
    def damaged(self) -> Path:
        """Runs that were put away."""
        return self.root / "damaged"

    @property
    def journal(self) -> Path:
        """Responses of scorings under way."""
        return self.root / "journal"

    @property
    def states(self) -> Path:
        """Saved training states, by stage key."""
        return self.root / "states"

    @property
    def logs(self) -> Path:
        """Tracebacks of failed stages."""
        return self.root / "logs"

    @property
    def leases(self) -> Path:
        """One locked file a stage that is being carried out."""
        return self.root / "leases"

    @property
    def events(self) -> Path:
        """What happened, in lines that a person reads."""
        return self.root / "events.log"

    @property
    def index(self) -> Path:
        """The index database."""
        return self.root / "index.sqlite"

    @property
    def writer_lock(self) -> Path:
        """Held for the length of one long job."""
        return self.root / "writer.lock"

    @property
    def open_lock(self) -> Path:
        """Held for moments, while temporary folders are made and cleaned."""
        return self.root / "open.lock"

    @property
    def current_lock(self) -> Path:
        """Held for moments, while the record of a candidate is replaced."""
        return self.root / "current.lock"

    @property
    def temporary(self) -> Path:
        """One folder a living process."""
        return self.root / "tmp"

    def create(self) -> None:
        """Make the workspace, kept out of git by a ``.gitignore`` of its own."""
        with storage_errors(self.root, "create the workspace"):
            for folder in (self.runs, self.checkpoints, self.stages, self.temporary):
                folder.mkdir(parents=True, exist_ok=True)
            ignore = self.root / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n", "utf-8")

    def scratch(self, name: str = "") -> Path:
        """A fresh path in this process's temporary folder; the caller makes the file or folder."""
        if self._owner is None or not self._owner.exists():
            self.create()
            with (
                storage_errors(self.root, "create a temporary folder"),
                locked(self.open_lock),
            ):
                owner = self.temporary / uuid.uuid4().hex
                owner.mkdir()
                lock = FileLock(owner / OWNER_LOCK)
                lock.acquire()
            self._owner, self._owner_lock = owner, lock
            weakref.finalize(self, _remove_own, owner, os.getpid())
        return self._owner / f"{name}{uuid.uuid4().hex}"

    def abandoned(self) -> list[Path]:
        """Temporary folders whose process is gone (their lock is free)."""
        folders = []
        for folder in sorted(self.temporary.glob("*/")):
            lock = FileLock(folder / OWNER_LOCK)
            if folder != self._owner and lock.acquire(blocking=False):
                lock.release()
                folders.append(folder)
        return folders

    def clean(self) -> None:
        """Remove what dead processes left in ``tmp/`` and ``leases/``; a read-only workspace is
        left alone."""
        if not self.temporary.is_dir():
            return
        try:
            with locked(self.open_lock):
                for folder in self.abandoned():
                    shutil.rmtree(folder, ignore_errors=True)
            for path in self.leases.glob("*.lock"):
                _remove_free(path)
        except OSError:
            return

    def discard(self, folder: Path) -> None:
        """Remove a folder so that no reader ever sees half of it: first moved, then deleted."""
        with storage_errors(self.root, f"remove {folder.name}"):
            if folder.exists():
                grave = self.scratch()
                folder.rename(grave)
                shutil.rmtree(grave)

    def close(self) -> None:
        """Give up this process's temporary folder."""
        if self._owner is not None:
            shutil.rmtree(self._owner, ignore_errors=True)
        if self._owner_lock is not None:
            self._owner_lock.release()
        self._owner = self._owner_lock = None


def _remove_free(path: Path) -> None:
    """Remove the file of a lease that nobody holds."""
    lock = FileLock(path)
    if lock.acquire(blocking=False):
        # The file that was locked, and not one that another has made since.
        if lock.in_place():
            path.unlink(missing_ok=True)
        lock.release()


def _remove_own(owner: Path, process: int) -> None:
    """At the end of the process that made it; a forked child must leave it alone."""
    if os.getpid() == process:
        shutil.rmtree(owner, ignore_errors=True)


def safe_name(name: str, what: str) -> str:
    """``name`` where it may stand in a path. Raises ``StoreError`` otherwise."""
    if not SAFE_NAME.fullmatch(name) or ".." in name:
        raise StoreError(f"not a valid {what}", value=name, fix="use letters, digits, '-' and '_'")
    return name


def digest_name(digest: str) -> str:
    """The folder name of a checkpoint: the first 16 digits of its digest."""
    return safe_name(digest, "checkpoint digest")[:DIGEST_CHARACTERS]
