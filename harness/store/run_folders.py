"""The runs of a store: one immutable folder each, listed by an index."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Sequence
from pathlib import Path

from steelyard.harness.errors import (
    NewerVersionError,
    StoreError,
    UnknownNameError,
    did_you_mean,
)
from steelyard.harness.records import Rows, Run, SampleRecord
from steelyard.harness.store.atomic import storage_errors
from steelyard.harness.store.current import CurrentRuns
from steelyard.harness.store.index import WHERE, RunIndex, RunSummary, entry
from steelyard.harness.store.layout import SAFE_NAME, Layout, safe_name
from steelyard.harness.store.logs import Logs
from steelyard.harness.store.run_folder import (
    RUN_FILE,
    intact,
    publish_run,
    read_run,
    verified_run,
)


class RunFolders:
    """Which runs there are, and where each lies.

    Args:
        layout: the folder.
        index: lists the runs without opening any.
        current: which run each name means.
        durable: whether this folder is where the truth lies, so that every write waits for the
            disk.
    """

    def __init__(
        self, layout: Layout, index: RunIndex, current: CurrentRuns, *, durable: bool = True
    ) -> None:
        self._layout = layout
        self._index = index
        self.current = current
        self._durable = durable

    def summaries(self, **where: str | bool) -> list[RunSummary]:
        """Runs with these fields, oldest first, as the index alone has them: none is opened."""
        for name in where:
            if name not in WHERE:
                raise StoreError(f"runs have no field '{name}'", fix=did_you_mean(name, WHERE))
        return self._index.find(where)

    def intact(self, id: str) -> Run | None:
        """The run with exactly this id; None where it is not there or no longer intact.

        Raises ``NewerVersionError`` where a newer Steelyard wrote it.
        """
        folder = self._layout.runs / safe_name(id, "run id")
        return read_run(folder) if intact(folder) else None

    def verified(self, id: str) -> Run:
        """The run with exactly this id, every file of it held against its digest.

        Raises ``StoreError`` where it is damaged, ``NewerVersionError``.
        """
        return verified_run(self.fetched(id))

    def put_away(self, id: str) -> str | None:
        """Move a damaged run out of the way, so that it is made again: what was wrong, in a line.

        None where there is no such run, or nothing is wrong with it. Raises ``NewerVersionError``
        where a newer Steelyard wrote it: that stays.
        """
        folder = self._layout.runs / safe_name(id, "run id")
        if not folder.is_dir():
            return None
        try:
            verified_run(folder)
        except NewerVersionError:
            raise
        except (StoreError, OSError) as error:
            place = self._layout.damaged / f"{id}-{uuid.uuid4().hex[:8]}"
            with storage_errors(self._layout.root, f"put run {id[:12]} away"):
                place.parent.mkdir(exist_ok=True)
                folder.rename(place)
            what = error.message if isinstance(error, StoreError) else str(error)
            line = f"{getattr(error, 'file', None) or folder}: {what}; put away in {place}"
            Logs(self._layout).event(line)
            return line
        return None

    def delete(self, reference: str | Path) -> str:
        """Remove a run; its id. Checkpoints stay until garbage is removed."""
        folder = self.folder(reference)
        if folder.parent != self._layout.runs:
            raise StoreError("not a run of this workspace", file=folder)
        for summary in self.summaries(id=folder.name):
            self.current.forget(summary)
        self._layout.discard(folder)
        return folder.name

    def publish(self, run: Run, rows: Sequence[Rows], samples: Sequence[SampleRecord]) -> None:
        """Make the run's folder in one rename; a damaged one of this id is put away, and said."""
        target = self._layout.runs / safe_name(run.id, "run id")
        if target.exists():
            damage = self.put_away(run.id)
            if damage is None:
                return
            print(damage, file=sys.stderr, flush=True)
        publish_run(self._layout, target, run, rows, samples, durable=self._durable)

    def folder(self, reference: str | Path) -> Path:
        """The folder of the run that ``reference`` names.

        Raises ``UnknownNameError`` with near names, ``NoCurrentRunError`` for a candidate that has
        no run now, ``StoreError`` where a prefix is ambiguous.
        """
        name = str(reference)
        if SAFE_NAME.fullmatch(name) and self.is_listed(name):
            return self.fetched(name)
        ids = self._index.ids_starting(name) if name else []
        if len(ids) > 1:
            shown = ", ".join(ids[:8]) + (", ..." if len(ids) > 8 else "")
            raise StoreError(f"'{name}' begins {len(ids)} run ids: {shown}", fix="add digits")
        if ids:
            return self.fetched(ids[0])
        experiment, _, candidate = name.rpartition("/")
        if experiment and (id := self.current.run_id(experiment, candidate)) is not None:
            return self.fetched(id)
        if name and (folder := Path(name)).is_dir() and (folder / RUN_FILE).is_file():
            return folder.absolute()
        names = {name for run in self.summaries() for name in (run.name, run.id[:12])}
        raise UnknownNameError(
            f"no run named '{name}' in {self._layout.root}", fix=did_you_mean(name, names)
        )

    def is_listed(self, id: str) -> bool:
        """Whether there is a run with exactly this id."""
        return (self._layout.runs / id).is_dir()

    def fetched(self, id: str) -> Path:
        """The folder of a run that there is; a shared store brings it here first."""
        return self._layout.runs / id


def run_ids(layout: Layout) -> set[str]:
    """The ids that have a folder."""
    return {path.name for path in layout.runs.iterdir()} if layout.runs.is_dir() else set()


def index_entry(layout: Layout, id: str) -> dict[str, object] | None:
    """The index row of a run; None where its folder cannot be read (a check names it)."""
    folder = layout.runs / id
    try:
        return entry(read_run(folder), (folder / RUN_FILE).stat().st_mtime_ns)
    except (StoreError, OSError):
        return None
