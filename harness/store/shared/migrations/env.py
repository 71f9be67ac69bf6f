"""Alembic's door: migrates over the connection that the store hands in."""

from __future__ import annotations

from alembic import context

from steelyard.harness.store.shared.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA)
with context.begin_transaction():
    context.run_migrations()
