"""Finding damage in a shared store, making its index anew, removing what nothing refers to."""

from __future__ import annotations

from collections.abc import Iterator

from steelyard.harness.errors import NewerVersionError, StoreError
from steelyard.harness.store.current import CurrentRuns
from steelyard.harness.store.leases import FileLeases
from steelyard.harness.store.run_folder import RUN_FILE, read_run
from steelyard.harness.store.shared.garbage import garbage, remove
from steelyard.harness.store.shared.index import entry
from steelyard.harness.store.shared.lease_table import LeaseTable
from steelyard.harness.store.shared.transfer import CHECKPOINTS, RUNS, STAGES, Transfer
from steelyard.harness.store.upkeep import FolderUpkeep, Garbage, run_damage


class SharedUpkeep(FolderUpkeep):
    """Upkeep of the location, the index and this machine's cache."""

    def __init__(
        self,
        transfer: Transfer,
        table: LeaseTable,
        leases: FileLeases,
        current: CurrentRuns,
        store_name: str,
    ) -> None:
        super().__init__(transfer.layout, leases, current, self.rebuild)
        self._transfer = transfer
        self._table = table
        self._store_name = store_name

    def check(self) -> list[str]:
        """Every damage in location, index and cache, in words; everything is read."""
        return [*self._unequal_lists(), *self._damaged_files(), *super().check()]

    def rebuild(self) -> int:
        """The index says what the location says, in the order in which things were stored.

        Drivers may go on meanwhile: what they add is never taken away. Returns the number of runs.
        """
        index, location = self._transfer.index, self._transfer.location
        before = {run.id for run in index.find({})}
        rows, newer = [], set[str]()
        for name in location.names(RUNS):
            try:
                row = self._row(name)
            except NewerVersionError:
                newer.add(name)  # stays listed as it is
                continue
            if row is not None:
                rows.append(row)
        index.remove(sorted(before - newer - {str(row["id"]) for row in rows}))
        # Again, in the recorded order: a database that was lost has none.
        index.add(sorted(rows, key=lambda row: str(row["stored_at"])))
        stages_before = index.stages()
        stages = {
            key: value
            for key in location.names(STAGES)
            if (value := self._transfer.stage(key)) is not None
        }
        index.forget_stages(sorted(stages_before.keys() - stages.keys()))
        index.finish_stages(stages)
        self._table.forget_expired()
        return len(rows)

    def gc(self, *, dry_run: bool = True) -> list[Garbage]:
        """What no run and no stage refers to, here and in the location; removed unless ``dry_run``.

        Raises ``StoreError`` where it is to be removed and a driver is at work, or where the index
        lacks what ``rebuild`` would list.
        """
        if dry_run:
            return garbage(self._transfer, self._store_name)
        with self._leases.writing():
            items = garbage(self._transfer, self._store_name)
            for item in items:
                remove(self._transfer, item)
            return items

    def _unequal_lists(self) -> Iterator[str]:
        listed = {run.id for run in self._transfer.index.find({})}
        published = set(self._transfer.location.names(RUNS))
        fix = "('steelyard store rebuild')"
        for id in sorted(listed - published):
            yield f"{self._store_name}: lists run {id}, whose files are gone {fix}"
        for id in sorted(published - listed):
            yield f"{self._store_name}: does not list run {id} {fix}"

    def _damaged_files(self) -> Iterator[str]:
        """Reads every file of the location; one line for each that is not what was put there."""
        location = self._transfer.location
        for kind in (RUNS, CHECKPOINTS):
            for name in location.names(kind):
                with self._transfer.verified(kind, name) as copy:
                    if isinstance(copy, str):
                        yield copy
                    elif kind == RUNS:
                        yield from run_damage(copy, name, f"{location.name}/{kind}/{name}")
        for key in location.names(STAGES):
            if self._transfer.stage(key) is None:
                yield f"{location.name}/{STAGES}/{key}.json: damaged JSON"

    def _row(self, name: str) -> dict[str, object] | None:
        """The index row of a run in the location; None where it cannot be read."""
        with self._transfer.verified(RUNS, name, only=(RUN_FILE,)) as copy:
            if isinstance(copy, str):
                return None
            try:
                run = read_run(copy)
            except NewerVersionError:
                raise
            except StoreError:
                return None
        marker = self._transfer.location.marker(RUNS, name)
        stored_at = None if marker is None else marker.about.get("stored_at")
        return entry(run) | {"stored_at": stored_at or self._transfer.index.now()}
