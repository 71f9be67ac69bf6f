"""Runs, stages, leases and the settings of a shared store."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the four tables."""
    now = sa.text("clock_timestamp()")
    op.create_table(
        "settings",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("value", sa.Text, nullable=False),
    )
    op.create_table(
        "runs",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("experiment", sa.Text, nullable=False),
        sa.Column("candidate", sa.Text, nullable=False),
        sa.Column("suite", sa.Text, nullable=False),
        sa.Column("checkpoint", sa.String, nullable=False),
        sa.Column("complete", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.Column("stored_at", sa.DateTime(timezone=True), nullable=False, server_default=now),
    )
    op.create_index("ix_runs_checkpoint", "runs", ["checkpoint"])
    op.create_index("ix_runs_stored_at", "runs", ["stored_at"])
    op.create_index("ix_runs_name", "runs", ["experiment", "candidate"])
    op.create_table(
        "stages",
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("payload", sa.Text, nullable=False),
    )
    op.create_table(
        "leases",
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    )


def downgrade() -> None:
    """Drop them; the location keeps the truth, and ``steelyard store rebuild`` reads it."""
    for name in ("leases", "stages", "runs", "settings"):
        op.drop_table(name)
