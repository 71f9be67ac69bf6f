"""The parts of a shared store: those of a folder, whose folder fills itself from the location."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from steelyard.harness.errors import StoreError, located
from steelyard.harness.files.version_1 import require_known_version
from steelyard.harness.records import Rows, Run, SampleRecord
from steelyard.harness.store.atomic import plain
from steelyard.harness.store.checkpoint_folders import CheckpointFolders
from steelyard.harness.store.current import CurrentRuns
from steelyard.harness.store.layout import Layout, digest_name, safe_name
from steelyard.harness.store.leases import FileLeases
from steelyard.harness.store.run_folder import intact
from steelyard.harness.store.run_folders import RunFolders
from steelyard.harness.store.shared.database import Database
from steelyard.harness.store.shared.index import entry
from steelyard.harness.store.shared.lease_table import LeaseTable
from steelyard.harness.store.shared.location import DamagedError, same_files
from steelyard.harness.store.shared.transfer import CHECKPOINTS, CURRENT, RUNS, STAGES, Transfer
from steelyard.harness.store.stages import StageFiles

#: Leases of drivers at work, and of whoever needs the store alone.
_DRIVER, _ALONE = "driver/", "alone"
#: Held in the database while the record of a candidate is replaced in the location.
_RECORDING = 5_128_004

T = TypeVar("T")


class SharedDocuments:
    """Documents in the location, replaced under a lock in the database."""

    def __init__(self, transfer: Transfer, database: Database) -> None:
        self._location = transfer.location
        self._database = database

    def read(self, name: str) -> object:
        """The JSON value; None where there is none, or a torn one."""
        return self._location.read_json(CURRENT, name)

    def write(self, name: str, value: object) -> None:
        """Replace the document."""
        self._location.write_json(CURRENT, name, value)

    def remove(self, name: str) -> None:
        """Remove the document; what is not there is no error."""
        self._location.remove(CURRENT, name)

    def names(self) -> list[str]:
        """The names that there are, sorted."""
        return self._location.names(CURRENT)

    def alone(self, change: Callable[[], T]) -> T:
        """What ``change`` returns; of all processes on every machine, one at a time."""
        return self._database.alone(_RECORDING, change)


class SharedRuns(RunFolders):
    """Runs that reach the location and the index before they count as stored."""

    def __init__(self, transfer: Transfer, current: CurrentRuns) -> None:
        super().__init__(transfer.layout, transfer.index, current, durable=False)
        self._transfer = transfer

    def publish(self, run: Run, rows: Sequence[Rows], samples: Sequence[SampleRecord]) -> None:
        """Store a run: in the cache, in the location, in the index.

        Killed in between it is not listed, and the same call (or a rebuild) lists it.
        """
        name = safe_name(run.id, "run id")
        if not self._transfer.is_whole(RUNS, name):
            super().publish(run, rows, samples)
            self._transfer.publish(RUNS, name, self._layout.runs / name)
        self._transfer.index.add([entry(run)])

    def intact(self, id: str) -> Run | None:
        """The run with exactly this id; None where it is not there or no longer intact."""
        if not self.is_listed(safe_name(id, "run id")):
            return None
        try:
            self.fetched(id)
        except DamagedError as error:
            self._transfer.drop_damaged(RUNS, id, error)
            return None
        return super().intact(id)

    def delete(self, reference: str | Path) -> str:
        """Remove a run everywhere; its id. Checkpoints stay until garbage is removed."""
        id = super().delete(reference)
        self._transfer.index.remove([id])
        self._transfer.location.remove(RUNS, id)
        return id

    def is_listed(self, id: str) -> bool:
        """Whether the index has a run with exactly this id."""
        return bool(self._transfer.index.find({"id": id}))

    def fetched(self, id: str) -> Path:
        """The run's folder in the cache, fetched where it is not there whole."""
        folder = self._layout.runs / id
        if not intact(folder):
            self._layout.discard(folder)  # a cache may rot, or be cut short with the power
            self._transfer.fetch(RUNS, id, folder)
        return folder


class SharedStages(StageFiles):
    """Finished stages, in the index; the location has them too, for a rebuild."""

    def __init__(self, transfer: Transfer) -> None:
        super().__init__(transfer.layout)
        self._transfer = transfer

    def get(self, key: str) -> dict[str, Any] | None:
        """What the stage ``key`` produced; None where it has not finished.

        Raises ``NewerVersionError`` for what a newer Steelyard wrote.
        """
        value = self._transfer.index.stage(safe_name(key, "stage key"))
        with located(file=f"{self._transfer.location.name}/{STAGES}/{key}.json"):
            require_known_version(value)
        return value

    def finish(self, key: str, payload: Mapping[str, object]) -> None:
        """Record that a stage has finished: in the location, then in the index."""
        self.get(key)  # a newer Steelyard's is not replaced
        content = plain(payload)
        self._transfer.location.write_json(STAGES, safe_name(key, "stage key"), content)
        self._transfer.index.finish_stages({key: content})


class SharedCheckpoints(CheckpointFolders):
    """Checkpoints in the cache and in the location."""

    def __init__(self, transfer: Transfer) -> None:
        super().__init__(transfer.layout)
        self._transfer = transfer

    def get(self, digest: str) -> Path | None:
        """The folder of the checkpoint ``digest``, fetched with the weights it stands on.

        None where it is not in the store, or is damaged there, which is said and logged.
        """
        cached = super().get(digest)
        if cached is not None:
            return cached
        for name in self._with_bases(digest_name(digest)):
            if (target := self._layout.checkpoints / name).is_dir():
                continue
            try:
                self._transfer.fetch(CHECKPOINTS, name, target)
            except DamagedError as error:
                self._transfer.drop_damaged(CHECKPOINTS, name, error)
                self._layout.discard(self.path(digest))  # of no use without its base
                return None
        return super().get(digest)

    def adopt(self, folder: Path, digest: str) -> Path:
        """Keep a finished checkpoint here and in the location, named by its digest."""
        target = super().adopt(folder, digest)
        if not self._transfer.is_whole(CHECKPOINTS, target.name):
            self._transfer.publish(CHECKPOINTS, target.name, target)
        return target

    def discard(self, digest: str) -> None:
        """Drop a damaged checkpoint: the copy here, and the location's where it is the same."""
        folder, location = self.path(digest), self._transfer.location
        marker = location.marker(CHECKPOINTS, folder.name)
        if marker is not None and (not folder.is_dir() or same_files(folder, marker)):
            location.remove(CHECKPOINTS, folder.name)
        super().discard(digest)

    def _with_bases(self, name: str) -> list[str]:
        """The checkpoint and those of the store that it stands on; [] where it is not there."""
        waiting, names = [name], list[str]()
        while waiting:
            name = waiting.pop()
            marker = self._transfer.location.marker(CHECKPOINTS, name)
            if marker is None or name in names:
                continue
            names.append(name)
            waiting += [safe_name(str(base), "checkpoint") for base in marker.about.get("on", ())]
        return names


class SharedLeases(FileLeases):
    """Leases that hold on every machine; a holder that dies is followed once its own expired."""

    def __init__(self, layout: Layout, table: LeaseTable, store_name: str) -> None:
        super().__init__(layout)
        self._table = table
        self._store_name = store_name

    def held(self, key: str) -> AbstractContextManager[bool]:
        """Try to be the one process, of all machines, that carries out the stage ``key``.

        As in a folder, but a holder that dies is followed once its lease has expired.
        """
        return self._table.held(safe_name(key, "stage key"))

    def holder(self, key: str) -> str | None:
        """Who carries out the stage ``key``, in words; None where nobody does."""
        return self._table.holder(safe_name(key, "stage key"))

    def writing(
        self,
        *,
        wait_seconds: float | None = 0.0,
        on_wait: Callable[[str], None] | None = None,
        shared: bool = False,
    ) -> AbstractContextManager[None]:
        """Hold the store: beside other drivers with ``shared``, else alone on every machine."""
        here = super().writing(wait_seconds=wait_seconds, on_wait=on_wait, shared=shared)
        return self._everywhere(here, shared=shared)

    @contextmanager
    def _everywhere(self, here: AbstractContextManager[None], *, shared: bool) -> Iterator[None]:
        with ExitStack() as stack:
            stack.enter_context(here)
            mine = f"{_DRIVER}{uuid.uuid4().hex}" if shared else _ALONE
            if not stack.enter_context(self._table.held(mine)):
                raise self._busy(self._table.holders(_ALONE))
            # Taken first and looked second: of two that come at once, at most one goes on.
            others = self._table.holders(_ALONE if shared else _DRIVER)
            if others:
                raise self._busy(others)
            yield

    def _busy(self, holders: Mapping[str, str]) -> StoreError:
        holder = next(iter(holders.values()), "another process")
        return StoreError(f"in use by {holder}", file=self._store_name, fix="wait for it to finish")
