"""A PostgreSQL database that many drivers share: connected, migrated, and patient when it is away.

SQLAlchemy talks to it through psycopg, Alembic makes and upgrades the tables. A password comes
from the address, ``PGPASSWORD`` or ``~/.pgpass`` (libpq reads the last two), and is never shown.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import create_engine, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from steelyard.harness.errors import ConfigError, MissingExtraError, StoreError
from steelyard.harness.files import first_secret, redacted, remember_secret
from steelyard.harness.store.shared.patience import PATIENCE_SECONDS, Say, on_screen, patiently
from steelyard.harness.store.shared.tables import HEAD

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Engine

T = TypeVar("T")
#: Any number will do; drivers that open a new database at the same moment migrate it in turn.
_MIGRATING = 5_128_003
#: Refusals that no waiting mends, as the server words them.
_FINAL = ("authentication failed", "does not exist", "pg_hba.conf", "permission denied", "SSL")
_DISK_FULL, _UNDEFINED_TABLE = "53100", "42P01"
#: Connection, resources, intervention, system, and a transaction that lost a race (PostgreSQL's
#: error classes); a connection that was never made has no code.
_PASSING = ("08", "53", "57", "58", "40")


class Database:
    """One database: ``ask`` runs a transaction, again where the connection was lost in it.

    Args:
        url: ``postgresql://user@host:port/name``, with libpq's options behind a question mark.
        say: hears when the database is away and when it is back.
        patience_seconds: how long it may be away.

    Raises:
        ConfigError: not an address of PostgreSQL.
        MissingExtraError: psycopg or Alembic is not installed.
    """

    def __init__(
        self, url: str, *, say: Say = on_screen, patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        try:
            parsed = make_url(url)
        except (ArgumentError, ValueError):
            shape = "write postgresql://user@host:5432/name"
            raise ConfigError("not an address", key="--store", fix=shape) from None
        _require("psycopg")
        remember_secret(parsed.password)
        for name, value in parsed.query.items():
            if first_secret({name: value}) is not None:
                remember_secret(str(value))
        self.parsed = parsed.set(drivername="postgresql+psycopg")
        self.name = _address(self.parsed)
        """The address without password and options, for people."""
        self._say = say
        self._patience_seconds = patience_seconds
        self.engine = _engine(self.parsed)

    def ask(self, question: Callable[[Connection], T]) -> T:
        """What ``question`` returns, in one transaction; it may run more than once.

        Raises ``StoreError`` where the database refuses, or is away for too long.
        """

        def attempt() -> T:
            with self.engine.begin() as connection:
                return question(connection)

        try:
            return patiently(
                attempt,
                why=self._passing,
                where=self.name,
                seconds=self._patience_seconds,
                say=self._say,
            )
        except SQLAlchemyError as error:
            # `from None`: the driver's own error shows the statement and the connection.
            raise self._refusal(error) from None

    def alone(self, lock: int, change: Callable[[], T]) -> T:
        """What ``change`` returns; of all processes that take ``lock``, one at a time."""

        def locked(connection: Connection) -> T:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": lock})
            return change()

        return self.ask(locked)

    def migrate(self) -> None:
        """Bring the tables to this version's shape; a new database gets them.

        Raises ``StoreError`` where a newer Steelyard has changed them.
        """
        if self.ask(_revision) == HEAD:
            return
        _require("alembic")
        self.ask(self._upgrade)

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    def _upgrade(self, connection: Connection) -> None:
        from alembic import command
        from alembic.config import Config
        from alembic.script import ScriptDirectory

        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATING})
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        config.attributes["connection"] = connection
        scripts = ScriptDirectory.from_config(config).walk_revisions()
        revisions = {script.revision for script in scripts}
        revision = _revision(connection)
        if revision is not None and revision not in revisions:
            raise StoreError(
                f"its tables are a newer Steelyard's (revision {revision}, this one knows {HEAD})",
                file=self.name,
                fix="upgrade steelyard",
            )
        command.upgrade(config, "head")

    def _passing(self, error: Exception) -> str | None:
        if not isinstance(error, DBAPIError):
            return None
        message = self._words(error)
        code = getattr(error.orig, "sqlstate", None)
        if code is None:
            lost = error.connection_invalidated or type(error.orig).__name__ in _CONNECTION_ERRORS
            return message if lost and not any(word in message for word in _FINAL) else None
        passes = code[:2] in _PASSING and code != _DISK_FULL
        return message if passes else None

    def _refusal(self, error: SQLAlchemyError) -> StoreError:
        code = getattr(getattr(error, "orig", None), "sqlstate", None)
        fix = "see docs/scaling.md, 'PostgreSQL'"
        if code == _DISK_FULL:
            fix = "free space on the database's machine"
        elif code == _UNDEFINED_TABLE:
            fix = "the tables were dropped: 'steelyard store rebuild' makes them again"
        return StoreError(self._words(error), file=self.name, fix=fix)

    def _words(self, error: Exception) -> str:
        """The first line of what the server said, without anything secret."""
        lines = str(getattr(error, "orig", None) or error).strip().splitlines()
        return redacted(lines[0] if lines else type(error).__name__)


#: psycopg's errors of connections, by name: it is imported only where it is there.
_CONNECTION_ERRORS = ("OperationalError", "InterfaceError", "ConnectionTimeout", "AdminShutdown")


def _engine(url: URL) -> Engine:
    engine = create_engine(
        url,
        pool_size=2,
        max_overflow=6,
        hide_parameters=True,
        connect_args={
            "application_name": "steelyard",
            "connect_timeout": 10,
            # A network that swallows packets must not hang a driver for ever.
            "keepalives_idle": 15,
            "keepalives_interval": 5,
            "keepalives_count": 4,
            "tcp_user_timeout": 35_000,
        },
    )
    _ENGINES.add(engine)
    return engine


_ENGINES: weakref.WeakSet[Engine] = weakref.WeakSet()


def _forget_in_child() -> None:
    # Two processes that talk over one connection would read each other's answers.
    for engine in list(_ENGINES):
        engine.dispose(close=False)


os.register_at_fork(after_in_child=_forget_in_child)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def _address(url: URL) -> str:
    place = f"{url.host or 'local socket'}" + (f":{url.port}" if url.port else "")
    return f"postgresql://{place}/{url.database or ''}"


def _require(module: str) -> None:
    try:
        import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"a store in PostgreSQL needs {module}", fix="pip install 'steelyard[postgres]'"
        ) from error
