"""Alembic's migrations of the shared store's database; ``harness.store.database`` runs them."""
