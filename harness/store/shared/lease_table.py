"""Leases in a database: one driver at a time for a key, taken over when its holder dies.

A lease expires ``LEASE_SECONDS`` after its last heartbeat, by the database's clock alone. A driver
that lost its lease (cut off for longer than that) may end up doing a stage twice; because results
are named by content and published whole, that costs time and changes nothing.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from steelyard.harness.errors import StoreError
from steelyard.harness.store.locks import this_process
from steelyard.harness.store.shared.tables import LEASES

if TYPE_CHECKING:
    from steelyard.harness.store.shared.database import Database

LEASE_SECONDS = 60.0
#: Of the lease's length: three heartbeats may be lost before the lease is.
_BEATS = 4


class LeaseTable:
    """The leases of one database."""

    def __init__(self, database: Database, lease_seconds: float = LEASE_SECONDS) -> None:
        self._database = database
        self._length = timedelta(seconds=lease_seconds)
        self._beat_seconds = lease_seconds / _BEATS

    @contextmanager
    def held(self, key: str) -> Iterator[bool]:
        """Try to hold ``key`` for the block: True where it is ours. It never waits for a holder."""
        owner = uuid.uuid4().hex
        if not self._acquire(key, owner):
            yield False
            return
        stop = threading.Event()
        beating = threading.Thread(target=self._beat, args=(key, owner, stop), daemon=True)
        beating.start()
        try:
            yield True
        finally:
            stop.set()
            beating.join()
            self._release(key, owner)

    def holder(self, key: str) -> str | None:
        """Who holds ``key`` now, in words."""
        return self.holders(key).get(key)

    def holders(self, prefix: str) -> dict[str, str]:
        """Key -> who holds it, of every living lease whose key begins so."""
        statement = select(LEASES.c.key, LEASES.c.holder).where(
            LEASES.c.key.startswith(prefix, autoescape=True),
            LEASES.c.expires_at > func.clock_timestamp(),
        )
        rows = self._database.ask(lambda c: c.execute(statement).all())
        return {key: holder for key, holder in rows}  # noqa: C416  rows, not pairs

    def forget_expired(self) -> int:
        """Remove leases whose holders are gone; how many there were."""
        statement = delete(LEASES).where(LEASES.c.expires_at < func.clock_timestamp())
        return int(self._database.ask(lambda c: c.execute(statement).rowcount))

    def _acquire(self, key: str, owner: str) -> bool:
        expires: ColumnElement[datetime] = func.clock_timestamp() + self._length
        new = insert(LEASES).values(key=key, owner=owner, holder=this_process(), expires_at=expires)
        # Our own: the answer to a first attempt was lost on the way, and this is the second.
        free = or_(LEASES.c.expires_at < func.clock_timestamp(), LEASES.c.owner == owner)
        statement = new.on_conflict_do_update(
            index_elements=["key"],
            set_={
                "owner": new.excluded.owner,
                "holder": new.excluded.holder,
                "expires_at": new.excluded.expires_at,
            },
            where=free,
        ).returning(LEASES.c.owner)
        return bool(self._database.ask(lambda c: c.scalar(statement)) == owner)

    def _beat(self, key: str, owner: str, stop: threading.Event) -> None:
        statement = (
            update(LEASES)
            .where(LEASES.c.key == key, LEASES.c.owner == owner)
            .values(expires_at=func.clock_timestamp() + self._length)
        )
        while not stop.wait(self._beat_seconds):
            try:
                if self._database.ask(lambda c: c.execute(statement).rowcount) == 0:
                    return  # expired, and another's by now
            except StoreError:
                continue  # away for long: the block itself will hear of it

    def _release(self, key: str, owner: str) -> None:
        statement = delete(LEASES).where(LEASES.c.key == key, LEASES.c.owner == owner)
        try:
            self._database.ask(lambda c: c.execute(statement))
        except StoreError:
            return  # it expires by itself
