"""A store that many machines share: files in a location, index and leases in PostgreSQL.

What lies where:

- **the location** (any fsspec address) has the truth: runs, checkpoints and finished stages, each
  published whole, with digests;
- **the database** has the index (which runs and stages there are) and the leases; lost, it is made
  again from the location;
- **the folder** on each machine is a cache of both, and has what is that machine's own: journals,
  training states, logs, temporary files.

A store that is shared is a folder store whose folder fills itself: what is put reaches the location
and the index before ``put`` returns, what is asked for and not here is fetched and verified.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

from steelyard.harness.errors import ConfigError, StoreError
from steelyard.harness.records import Rows, Run, SampleRecord
from steelyard.harness.store import shared_upkeep, upkeep
from steelyard.harness.store.atomic import plain, publish_folder, read_json, storage_errors
from steelyard.harness.store.database import Database
from steelyard.harness.store.folder import FolderStore
from steelyard.harness.store.layout import Layout, digest_name, safe_name
from steelyard.harness.store.leases import LEASE_SECONDS, Leases
from steelyard.harness.store.location import DamagedError, GoneError, Location, Marker
from steelyard.harness.store.patience import PATIENCE_SECONDS, Say, on_screen
from steelyard.harness.store.places import SharedPlaces
from steelyard.harness.store.runs import intact
from steelyard.harness.store.shared_index import SharedIndex, entry
from steelyard.harness.store.stages import MANIFEST_FILE
from steelyard.harness.store.urls import is_postgresql, is_url, redacted

RUNS, CHECKPOINTS, STAGES = "runs", "checkpoints", "stages"
#: Leases of drivers at work, and of whoever needs the store alone.
_DRIVER, _ALONE = "driver/", "alone"


def open_shared(
    root: Path,
    url: str,
    *,
    say: Say = on_screen,
    patience_seconds: float = PATIENCE_SECONDS,
    lease_seconds: float = LEASE_SECONDS,
) -> SharedStore:
    """The store at ``url`` with its cache under ``root``.

    ``url`` is ``postgresql://user@host/name?artifacts=s3://bucket/steelyard``. ``artifacts`` is
    kept in the database when it is first given, so that every machine puts its files in the same
    place.

    Raises ``ConfigError`` for an address that is not one, ``StoreError`` where the store cannot be
    reached or ``artifacts`` is missing or another than the store's.
    """
    if not is_postgresql(url):
        fix = "write postgresql://user@host/name, or name a folder with --workspace"
        raise ConfigError("no such kind of store", key="--store", value=redacted(url), fix=fix)
    address, artifacts = _parted(url)
    database = Database(address, say=say, patience_seconds=patience_seconds)
    database.migrate()
    index = SharedIndex(database)
    place = _artifacts(index, artifacts, database.name)
    location = Location(place, say=say, patience_seconds=patience_seconds)
    cache = Path("shared") / index.settle("store", uuid.uuid4().hex)[:16]
    root = Path(root).absolute()
    # A worker that is handed the root of this very store works in the same cache.
    layout = Layout(root if root.parts[-2:] == cache.parts else root / cache)
    layout.clean()
    return SharedStore(layout, database, location, lease_seconds=lease_seconds, say=say)


def _parted(url: str) -> tuple[str, str | None]:
    """The address for the database, and where the files go."""
    from urllib.parse import unquote

    before, mark, query = url.partition("?")
    parts = query.split("&") if mark else []
    named = [unquote(p.partition("=")[2]) for p in parts if p.startswith("artifacts=")]
    rest = [p for p in parts if p and not p.startswith("artifacts=")]
    return before + ("?" + "&".join(rest) if rest else ""), (named[-1] or None) if named else None


def _artifacts(index: SharedIndex, given: str | None, where: str) -> str:
    """The store's location: settled by whoever names it first, the same for everybody."""
    known = index.setting("artifacts")
    if given is None:
        if known is None:
            raise ConfigError(
                "a new store needs a place for runs and checkpoints",
                file=where,
                key="artifacts",
                fix="add ?artifacts=s3://bucket/steelyard or ?artifacts=file:///shared/steelyard",
            )
        return known
    place = given if is_url(given) else Path(given).absolute().as_uri()
    if known is None:
        Location(place)  # what cannot be opened is not settled
        known = index.settle("artifacts", place)
    if known != place:
        raise ConfigError(
            "the store has its files elsewhere",
            file=where,
            key="artifacts",
            value=redacted(place),
            fix=f"leave it out, or write {known}",
        )
    return known


class SharedStore(FolderStore):
    """Runs, checkpoints and stages that many drivers share; made by ``open_shared``."""

    durable = False

    def __init__(
        self,
        layout: Layout,
        database: Database,
        location: Location,
        *,
        lease_seconds: float = LEASE_SECONDS,
        say: Say = on_screen,
    ) -> None:
        super().__init__(layout)
        self.database = database
        self.location = location
        self.index = SharedIndex(database)
        self.leases = Leases(database, lease_seconds)
        self._say = say

    @property
    def workspace(self) -> Path:
        """The folder whose cache this is; the address comes from the environment."""
        return self.root.parent.parent

    @property
    def name(self) -> str:
        """The database's address, without what is secret."""
        return self.database.name

    @property
    def _places(self) -> SharedPlaces:
        return SharedPlaces(self.name, self.layout, self.location, self.index, self.leases)

    # --- runs -------------------------------------------------------------------------------

    def put(self, run: Run, rows: Sequence[Rows], samples: Sequence[SampleRecord]) -> None:
        """Store a run: in the cache, in the location, in the index. The same id twice is no change.

        Killed in between it is not listed, and the same call (or ``rebuild``) lists it.
        """
        name = safe_name(run.id, "run id")
        if not self._is_whole(RUNS, name):
            super().put(run, rows, samples)
            self._publish(RUNS, name, self.layout.runs / name)
        self.index.add([entry(run)])

    def stored(self, id: str) -> Run | None:
        """The run with exactly this id; None where it is not there or no longer intact."""
        if not self._has(safe_name(id, "run id")):
            return None
        try:
            self._fetched(id)
        except DamagedError as error:
            self._lost(RUNS, id, error)
            return None
        return super().stored(id)

    def delete(self, reference: str | Path) -> str:
        """Remove a run everywhere; its id. Checkpoints stay until ``gc``."""
        id = super().delete(reference)
        self.index.remove([id])
        self.location.remove(RUNS, id)
        return id

    def _has(self, id: str) -> bool:
        return bool(self.index.find({"id": id}))

    def _fetched(self, id: str) -> Path:
        folder = self.layout.runs / id
        if not intact(folder):
            self.layout.discard(folder)  # a cache may rot, or be cut short with the power
            self._fetch(RUNS, id, folder)
        return folder

    def _indexed(self) -> Any:
        return self.index

    # --- stages and leases ------------------------------------------------------------------

    def stage(self, key: str) -> dict[str, Any] | None:
        """What the stage ``key`` produced; None where it has not finished."""
        return self.index.stage(safe_name(key, "stage key"))

    def finish_stage(self, key: str, payload: dict[str, Any]) -> None:
        """Record that a stage has finished: in the location, then in the index."""
        content = plain(payload)
        self.location.write_json(STAGES, safe_name(key, "stage key"), content)
        self.index.finish_stages({key: content})

    def lease(self, key: str) -> AbstractContextManager[bool]:
        """Try to be the one process, of all machines, that carries out the stage ``key``.

        As in a folder, but a holder that dies is followed once its lease has expired.
        """
        return self.leases.held(safe_name(key, "stage key"))

    def leased_by(self, key: str) -> str | None:
        """Who carries out the stage ``key``, in words; None where nobody does."""
        return self.leases.holder(safe_name(key, "stage key"))

    # --- checkpoints ------------------------------------------------------------------------

    def adopt_checkpoint(self, folder: Path, digest: str) -> Path:
        """Keep a finished checkpoint here and in the location, named by its digest."""
        target = super().adopt_checkpoint(folder, digest)
        if not self._is_whole(CHECKPOINTS, target.name):
            self._publish(CHECKPOINTS, target.name, target)
        return target

    def checkpoint(self, digest: str) -> Path | None:
        """The folder of the checkpoint ``digest``, fetched with the weights it stands on.

        None where it is not in the store, or is damaged there, which is said and logged.
        """
        name = digest_name(digest)
        here = super().checkpoint(digest)
        if here is not None:
            return here
        for each in self._with_bases(name):
            if (target := self.layout.checkpoints / each).is_dir():
                continue
            try:
                self._fetch(CHECKPOINTS, each, target)
            except DamagedError as error:
                self._lost(CHECKPOINTS, each, error)
                self.layout.discard(self.layout.checkpoints / name)  # of no use without its base
                return None
        return super().checkpoint(digest)

    def discard_checkpoint(self, digest: str) -> None:
        """Drop a damaged checkpoint: the copy here, and the location's where it is the same."""
        name = digest_name(digest)
        folder = self.layout.checkpoints / name
        marker = self.location.marker(CHECKPOINTS, name)
        if marker is not None and (not folder.is_dir() or shared_upkeep.equal(folder, marker)):
            self.location.remove(CHECKPOINTS, name)
        super().discard_checkpoint(digest)

    def _with_bases(self, name: str) -> list[str]:
        """The checkpoint and those of the store that it stands on; [] where it is not there."""
        wanted, found = [name], list[str]()
        while wanted:
            each = wanted.pop()
            marker = self.location.marker(CHECKPOINTS, each)
            if marker is None or each in found:
                continue
            found.append(each)
            wanted += [safe_name(str(base), "checkpoint") for base in marker.about.get("on", ())]
        return found

    # --- the whole --------------------------------------------------------------------------

    def writing(
        self,
        *,
        wait_seconds: float | None = 0.0,
        on_wait: Callable[[str], None] | None = None,
        shared: bool = False,
    ) -> AbstractContextManager[None]:
        """Hold the store: beside other drivers with ``shared``, else alone on every machine."""
        here = super().writing(wait_seconds=wait_seconds, on_wait=on_wait, shared=shared)
        return self._held(here, shared=shared)

    @contextmanager
    def _held(self, here: AbstractContextManager[None], *, shared: bool) -> Iterator[None]:
        with ExitStack() as stack:
            stack.enter_context(here)
            mine = f"{_DRIVER}{uuid.uuid4().hex}" if shared else _ALONE
            if not stack.enter_context(self.leases.held(mine)):
                raise self._busy(self.leases.holders(_ALONE))
            # Taken first and looked second: of two that come at once, at most one goes on.
            others = self.leases.holders(_ALONE if shared else _DRIVER)
            if others:
                raise self._busy(others)
            yield

    def _busy(self, holders: Mapping[str, str]) -> StoreError:
        holder = next(iter(holders.values()), "another process")
        return StoreError(f"in use by {holder}", file=self.name, fix="wait for it to finish")

    def check(self) -> list[str]:
        """Every damage in location, index and cache, in words; everything is read."""
        return [*shared_upkeep.damage(self._places), *super().check()]

    def rebuild(self) -> int:
        """Make the index anew from the location; the number of runs in it."""
        return shared_upkeep.rebuild(self._places)

    def gc(self, *, dry_run: bool = True) -> list[upkeep.Garbage]:
        """What no run and no stage refers to, here and in the location; no driver may be at work
        where it is removed."""
        if dry_run:
            return shared_upkeep.gc(self._places, dry_run=True)
        with self.writing():
            return shared_upkeep.gc(self._places, dry_run=False)

    def close(self) -> None:
        """Give up this process's temporary folder and its connections."""
        super().close()
        self.database.close()

    # --- between here and the location ------------------------------------------------------

    def _is_whole(self, kind: str, name: str) -> bool:
        try:
            marker = self.location.marker(kind, name)
        except DamagedError:
            return False
        return marker is not None and self.location.is_whole(kind, name, marker)

    def _publish(self, kind: str, name: str, folder: Path) -> Marker:
        about: dict[str, Any] = {"stored_at": self.index.now()}
        if kind == CHECKPOINTS:
            about |= {"on": _bases(folder), "refers_to": _referred(folder)}
        return self.location.publish(kind, name, folder, about)

    def _fetch(self, kind: str, name: str, target: Path) -> None:
        """Bring what is published under ``name`` here, whole or not at all.

        Raises ``GoneError`` where it is not in the location, ``DamagedError`` where it is no
        longer what was put there.
        """
        marker = self.location.marker(kind, name)
        if marker is None:
            raise GoneError("not in the store's files", file=f"{self.location.name}/{kind}/{name}")
        folder = self.layout.scratch()
        with storage_errors(self.root, f"fetch {kind}/{name}"):
            folder.mkdir()
            try:
                self.location.fetch(kind, name, marker, folder)
                publish_folder(folder, target, durable=False)
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def _lost(self, kind: str, name: str, error: DamagedError) -> None:
        self._say(f"{error}; it is made again")
        self.log_event(f"damaged in the store: {kind}/{name}")
        # Where nothing is published any more, files may be those of whoever makes it again.
        if not isinstance(error, GoneError):
            self.location.remove(kind, name)


def _bases(folder: Path) -> list[str]:
    """Checkpoints of the same store whose weights this one runs on, by folder name."""
    from steelyard.harness.checkpoints.opening import BASE_LINK

    try:
        link = read_json(folder / BASE_LINK)
        relative = os.path.normpath(str(link["relative"]))
    except (StoreError, OSError, KeyError, TypeError):
        return []
    above, _, name = relative.partition("/")
    return [name] if above == ".." and name and "/" not in name else []


def _referred(folder: Path) -> list[str]:
    """Digests that the manifest names: what this checkpoint was made from."""
    try:
        manifest = read_json(folder / MANIFEST_FILE)
    except (StoreError, OSError):
        return []
    return [str(manifest[key]) for key in ("parent", "base_digest") if manifest.get(key)]
