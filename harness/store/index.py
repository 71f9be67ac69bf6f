"""The index: which runs there are, in SQLite, so that a listing opens no run folder.

The folders are the truth. Before each question the index is brought level with them (one
directory listing; a run's file is read once in its life), so a process killed between a rename and
its index entry, a deleted folder, or a lost or damaged database heal by themselves.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    delete,
    event,
    insert,
    select,
    text,
)
from sqlalchemy.exc import DatabaseError
from sqlalchemy.pool import NullPool, StaticPool

from steelyard.harness.errors import NewerVersionError
from steelyard.harness.store.locks import locked

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from steelyard.harness.records import Run

T = TypeVar("T")
#: Raised with every change of the table below: an index of another version is made anew.
INDEX_VERSION = 1
BUSY_SECONDS = 60

_METADATA = MetaData()
RUNS = Table(
    "runs",
    _METADATA,
    Column("id", String, primary_key=True),
    Column("experiment", String, nullable=False, index=True),
    Column("candidate", String, nullable=False, index=True),
    Column("suite", String, nullable=False),
    Column("checkpoint", String, nullable=False, index=True),
    Column("complete", Boolean, nullable=False),
    Column("created_at", String, nullable=False),
    Column("created", Float, nullable=False),
    Column("stored_ns", Integer, nullable=False),
)
WHERE = ("id", "experiment", "candidate", "suite", "checkpoint", "complete")


def entry(run: Run, stored_ns: int) -> dict[str, object]:
    """The index row of ``run``; ``stored_ns`` orders runs that were made in the same second."""
    return described(run) | {"created": run.made, "stored_ns": stored_ns}


def described(run: Run) -> dict[str, object]:
    """What every index says of a run."""
    return {
        "id": run.id,
        "experiment": run.experiment,
        "candidate": run.candidate,
        "suite": run.suite,
        "checkpoint": run.checkpoint.digest,
        "complete": run.complete,
        "created_at": run.created_at,
    }


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


SUMMARY_FIELDS = tuple(field.name for field in fields(RunSummary))


class _NewerIndexError(Exception):
    """The file is another version's, which will want it as it left it."""


class RunIndex(Protocol):
    """What lists runs without opening any."""

    def find(self, where: Mapping[str, str | bool]) -> list[RunSummary]:
        """Runs that match every value of ``where``, oldest first."""

    def ids_starting(self, prefix: str) -> list[str]:
        """Ids that begin with ``prefix``, sorted."""


class Index:
    """A rebuildable table of runs.

    Args:
        path: the SQLite file.
        lock: a lock file for the moment in which a damaged file is set aside.
        listing: the ids that have a folder now.
        read: the index row of one id; None where its folder is damaged.
    """

    def __init__(
        self,
        path: Path,
        lock: Path,
        listing: Callable[[], set[str]],
        read: Callable[[str], dict[str, object] | None],
    ) -> None:
        self._path = path
        self._lock = lock
        self._listing = listing
        self._read = read
        self._engine = _file_engine(path)
        self._memory: Engine | None = None

    def find(self, where: Mapping[str, str | bool]) -> list[RunSummary]:
        """Runs that match every value of ``where``, oldest first."""
        columns = (RUNS.c[name] for name in SUMMARY_FIELDS)
        statement = select(*columns).order_by(RUNS.c.created, RUNS.c.stored_ns, RUNS.c.id)
        for name, value in where.items():
            statement = statement.where(RUNS.c[name] == value)
        return self._asked(lambda c: [RunSummary(*row) for row in c.execute(statement)])

    def ids_starting(self, prefix: str) -> list[str]:
        """Ids that begin with ``prefix``, sorted."""
        statement = (
            select(RUNS.c.id)
            .where(RUNS.c.id.startswith(prefix, autoescape=True))
            .order_by(RUNS.c.id)
        )
        return self._asked(lambda c: list(c.scalars(statement)))

    def rebuild(self) -> int:
        """Make the index anew from the folders; the number of runs in it.

        Raises ``NewerVersionError`` where a newer Steelyard keeps it.
        """
        try:
            with self._level(self._engine):
                pass
        except _NewerIndexError:
            fix = "upgrade"
            raise NewerVersionError("a newer Steelyard's index", file=self._path, fix=fix) from None
        except (DatabaseError, OSError):
            pass  # damaged, or none yet
        self._set_aside(always=True)
        return len(self.find({}))

    def _asked(self, ask: Callable[[Connection], T]) -> T:
        if self._path.parent.is_dir():
            for attempt in ("as it is", "made anew"):
                try:
                    if attempt == "made anew":
                        self._set_aside()
                    with locked(self._lock), self._level(self._engine) as connection:
                        return ask(connection)
                except _NewerIndexError:
                    break  # left as it is
                except (DatabaseError, OSError):
                    continue
        # No workspace yet, a read-only or a full disk: the same index, in memory.
        if self._memory is None:
            self._memory = create_engine("sqlite://", poolclass=StaticPool)
        with self._level(self._memory) as connection:
            return ask(connection)

    @contextmanager
    def _level(self, engine: Engine) -> Iterator[Connection]:
        """A connection to an index that says what the folders say."""
        with engine.begin() as connection:
            version = connection.scalar(text("PRAGMA user_version"))
            if version > INDEX_VERSION:
                raise _NewerIndexError
            if version != INDEX_VERSION:
                _METADATA.drop_all(connection)
                _METADATA.create_all(connection)
                connection.execute(text(f"PRAGMA user_version = {INDEX_VERSION}"))
            listed, folders = set(connection.scalars(select(RUNS.c.id))), self._listing()
            for id in listed - folders:
                connection.execute(delete(RUNS).where(RUNS.c.id == id))
            rows = [row for id in sorted(folders - listed) if (row := self._read(id)) is not None]
            if rows:
                connection.execute(insert(RUNS).prefix_with("OR REPLACE"), rows)
            yield connection

    def _set_aside(self, *, always: bool = False) -> None:
        """Remove a damaged file, unless another process has already replaced it."""
        with locked(self._lock):
            if always or not _readable(self._path):
                for suffix in ("", "-journal", "-wal", "-shm"):
                    self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        self._engine = _file_engine(self._path)


def _file_engine(path: Path) -> Engine:
    # No pooled connections: one left open would go on in a file that another process replaced.
    engine = create_engine(
        f"sqlite:///{path}", poolclass=NullPool, connect_args={"timeout": BUSY_SECONDS}
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _: object) -> None:
        # The index may be lost at any time, so no write of it needs to wait for the disk.
        connection.execute("PRAGMA synchronous = OFF")

    return engine


def _readable(path: Path) -> bool:
    try:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            return bool(connection.execute("PRAGMA quick_check").fetchone()[0] == "ok")
        finally:
            connection.close()
    except sqlite3.Error:
        return False
