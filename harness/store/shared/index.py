"""The index of a shared store: which runs and finished stages there are, in PostgreSQL.

It can be made anew from the location (``steelyard store rebuild``), where the truth lies.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert

from steelyard.harness.errors import StoreError
from steelyard.harness.store.atomic import plain
from steelyard.harness.store.index import SUMMARY_FIELDS, RunSummary, described
from steelyard.harness.store.shared.tables import RUNS, SETTINGS, STAGES

if TYPE_CHECKING:
    from sqlalchemy import Executable

    from steelyard.harness.records import Run
    from steelyard.harness.store.shared.database import Database

#: Rows in one statement of a rebuild.
BATCH = 1_000


def entry(run: Run) -> dict[str, object]:
    """The index row of ``run``; when it was stored is the database's to say."""
    return {name: _storable(value) for name, value in described(run).items()}


def _storable(value: object) -> object:
    """PostgreSQL's text holds every character but NUL."""
    return plain(value).replace("\0", "\ufffd") if isinstance(value, str) else value


class SharedIndex:
    """Runs in the order in which they were stored, by the database's clock."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- runs -------------------------------------------------------------------------------

    def find(self, where: Mapping[str, str | bool]) -> list[RunSummary]:
        """Runs that match every value of ``where``, oldest first."""
        columns = (RUNS.c[name] for name in SUMMARY_FIELDS)
        statement = select(*columns).order_by(RUNS.c.stored_at, RUNS.c.id)
        for name, value in where.items():
            statement = statement.where(RUNS.c[name] == _storable(value))
        return self._database.ask(lambda c: [RunSummary(*row) for row in c.execute(statement)])

    def ids_starting(self, prefix: str) -> list[str]:
        """Ids that begin with ``prefix``, sorted."""
        starts = RUNS.c.id.startswith(_storable(prefix), autoescape=True)
        statement = select(RUNS.c.id).where(starts).order_by(RUNS.c.id)
        return list(self._database.ask(lambda c: c.scalars(statement).all()))

    def add(self, rows: Sequence[Mapping[str, object]]) -> None:
        """Add runs; one that is there already stays as it is."""
        for start in range(0, len(rows), BATCH):
            part = [dict(row) for row in rows[start : start + BATCH]]
            statement = insert(RUNS).values(part).on_conflict_do_nothing()
            self._run(statement)

    def remove(self, ids: Sequence[str]) -> None:
        """Remove runs from the index; their files are the location's."""
        if ids:
            statement = delete(RUNS).where(RUNS.c.id.in_(list(ids)))
            self._run(statement)

    # --- stages -----------------------------------------------------------------------------

    def stage(self, key: str) -> dict[str, Any] | None:
        """What the stage ``key`` produced; None where it has not finished."""
        statement = select(STAGES.c.payload).where(STAGES.c.key == key)
        text = self._database.ask(lambda c: c.scalar(statement))
        try:
            value = None if text is None else json.loads(text)
        except (ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None

    def finish_stages(self, payloads: Mapping[str, Mapping[str, object]]) -> None:
        """Record what stages produced; a later word replaces an earlier one."""
        rows = [{"key": k, "payload": json.dumps(v)} for k, v in payloads.items()]
        for start in range(0, len(rows), BATCH):
            new = insert(STAGES).values(rows[start : start + BATCH])
            statement = new.on_conflict_do_update(
                index_elements=["key"], set_={"payload": new.excluded.payload}
            )
            self._run(statement)

    def stages(self) -> dict[str, str]:
        """Key -> payload, as JSON text, of every finished stage."""
        statement = select(STAGES.c.key, STAGES.c.payload)
        rows = self._database.ask(lambda c: c.execute(statement).all())
        return {key: text for key, text in rows}  # noqa: C416  rows, not pairs

    def forget_stages(self, keys: Sequence[str]) -> None:
        """Remove stages from the index."""
        if keys:
            statement = delete(STAGES).where(STAGES.c.key.in_(list(keys)))
            self._run(statement)

    # --- the store itself -------------------------------------------------------------------

    def setting(self, name: str) -> str | None:
        """What the store knows of itself under ``name``; None where nothing was settled."""
        statement = select(SETTINGS.c.value).where(SETTINGS.c.name == name)
        value: str | None = self._database.ask(lambda c: c.scalar(statement))
        return value

    def settle(self, name: str, value: str) -> str:
        """The value that was settled under ``name`` first; ``value`` where there is none yet."""
        new = insert(SETTINGS).values(name=name, value=value).on_conflict_do_nothing()
        self._run(new)
        settled = self.setting(name)
        if settled is None:
            raise StoreError(f"the setting '{name}' is gone", file=self._database.name)
        return settled

    def _run(self, statement: Executable) -> None:
        self._database.ask(lambda c: c.execute(statement))

    def now(self) -> str:
        """The database's clock, ISO 8601."""
        moment = self._database.ask(lambda c: c.scalar(select(func.clock_timestamp())))
        assert moment is not None, "a clock always answers"
        return str(moment.isoformat())
