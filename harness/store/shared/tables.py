"""The tables of a shared store in PostgreSQL; ``migrations/`` makes them, a test holds both equal.

Times are the database's own (``clock_timestamp()``): no machine's clock decides anything.
"""

from __future__ import annotations

from sqlalchemy import Boolean, Column, DateTime, Index, MetaData, String, Table, Text, func

#: The migration that this version of Steelyard works with.
HEAD = "0001"

METADATA = MetaData()
SETTINGS = Table(
    "settings",
    METADATA,
    Column("name", String, primary_key=True),
    Column("value", Text, nullable=False),
)
RUNS = Table(
    "runs",
    METADATA,
    Column("id", String, primary_key=True),
    Column("experiment", Text, nullable=False),
    Column("candidate", Text, nullable=False),
    Column("suite", Text, nullable=False),
    Column("checkpoint", String, nullable=False, index=True),
    Column("complete", Boolean, nullable=False),
    Column("created_at", Text, nullable=False),
    Column(
        "stored_at",
        DateTime(timezone=True),
        nullable=False,
        index=True,
        server_default=func.clock_timestamp(),
    ),
    Index("ix_runs_name", "experiment", "candidate"),
)
STAGES = Table(
    "stages",
    METADATA,
    Column("key", String, primary_key=True),
    Column("payload", Text, nullable=False),
)
LEASES = Table(
    "leases",
    METADATA,
    Column("key", String, primary_key=True),
    Column("owner", String, nullable=False),
    Column("holder", Text, nullable=False),
    Column("expires_at", DateTime(timezone=True), nullable=False),
)
