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

import uuid
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from steelyard.harness.errors import ConfigError, located
from steelyard.harness.files import redacted, require_no_secret, require_plain_password
from steelyard.harness.store.current import CurrentRuns
from steelyard.harness.store.folder import FolderStore
from steelyard.harness.store.layout import Layout
from steelyard.harness.store.logs import Logs
from steelyard.harness.store.shared.database import Database
from steelyard.harness.store.shared.index import SharedIndex
from steelyard.harness.store.shared.lease_table import LEASE_SECONDS, LeaseTable
from steelyard.harness.store.shared.location import Location
from steelyard.harness.store.shared.parts import (
    SharedCheckpoints,
    SharedDocuments,
    SharedLeases,
    SharedRuns,
    SharedStages,
)
from steelyard.harness.store.shared.patience import PATIENCE_SECONDS, Say, on_screen
from steelyard.harness.store.shared.transfer import Transfer
from steelyard.harness.store.shared.upkeep import SharedUpkeep
from steelyard.harness.store.stages import Unfinished
from steelyard.harness.store.urls import is_postgresql, is_url


@dataclass(frozen=True, eq=False)
class SharedStore(FolderStore):
    """Runs, checkpoints and stages that many drivers share; made by ``open_shared``."""

    database: Database
    location: Location
    index: SharedIndex

    def close(self) -> None:
        """Give up this process's temporary folder and its connections."""
        super().close()
        self.database.close()


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
        fix = (
            "write postgresql://user@host/name, with the password in PGPASSWORD or ~/.pgpass, or "
            "name a folder with --workspace"
        )
        raise ConfigError("no such kind of store", key="--store", value=redacted(url), fix=fix)
    require_plain_password(url, "--store")
    address, artifacts = _parted(url)
    if artifacts is not None:  # before anything is asked of the database
        require_no_secret(artifacts, "artifacts")
        Location(_place(artifacts))
    database = Database(address, say=say, patience_seconds=patience_seconds)
    database.migrate()
    index = SharedIndex(database)
    with located(file=database.name):
        place = _artifacts(index, artifacts)
    location = Location(place, say=say, patience_seconds=patience_seconds)
    cache = Path("shared") / index.settle("store", uuid.uuid4().hex)[:16]
    root = Path(root).absolute()
    # A worker that is handed the root of this very store works in the same cache.
    layout = Layout(root if root.parts[-2:] == cache.parts else root / cache)
    layout.clean()
    return _assembled(
        Transfer(layout, location, index, say), database, LeaseTable(database, lease_seconds)
    )


def _assembled(transfer: Transfer, database: Database, table: LeaseTable) -> SharedStore:
    """The store of these places, in its parts."""
    layout = transfer.layout
    leases = SharedLeases(layout, table, database.name)
    # The folder whose cache this is; the address comes from the environment.
    workspace = layout.root.parent.parent
    current = CurrentRuns(
        SharedDocuments(transfer, database),
        transfer.index,
        is_there=lambda id: bool(transfer.index.find({"id": id})),
        held=leases.held,
        root=workspace,
    )
    return SharedStore(
        layout,
        name=database.name,
        workspace=workspace,
        runs=SharedRuns(transfer, current),
        stages=SharedStages(transfer),
        checkpoints=SharedCheckpoints(transfer),
        leases=leases,
        unfinished=Unfinished(layout),
        logs=Logs(layout),
        upkeep=SharedUpkeep(transfer, table, leases, current, database.name),
        database=database,
        location=transfer.location,
        index=transfer.index,
    )


def _parted(url: str) -> tuple[str, str | None]:
    """The address for the database, and where the files go."""
    before, mark, query = url.partition("?")
    parts = query.split("&") if mark else []
    named = [unquote(p.partition("=")[2]) for p in parts if p.startswith("artifacts=")]
    rest = [p for p in parts if p and not p.startswith("artifacts=")]
    return before + ("?" + "&".join(rest) if rest else ""), (named[-1] or None) if named else None


def _place(artifacts: str) -> str:
    """The address of where the files go; a folder's where it is none."""
    return artifacts if is_url(artifacts) else Path(artifacts).absolute().as_uri()


def _artifacts(index: SharedIndex, asked: str | None) -> str:
    """The store's location: settled by whoever names it first, the same for everybody."""
    settled = index.setting("artifacts")
    if asked is None:
        if settled is None:
            raise ConfigError(
                "a new store needs a place for runs and checkpoints",
                key="artifacts",
                fix="add ?artifacts=s3://bucket/steelyard or ?artifacts=file:///shared/steelyard",
            )
        return settled
    place = _place(asked)
    if settled is None:
        Location(place).require_lasting()  # what cannot be opened, or does not last, is not settled
        settled = index.settle("artifacts", place)
    if settled != place:
        raise ConfigError(
            "the store has its files elsewhere",
            key="artifacts",
            value=redacted(place),
            fix=f"leave it out, or write {settled}",
        )
    return settled
