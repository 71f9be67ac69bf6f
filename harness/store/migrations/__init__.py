"""Alembic's migrations of the shared store's database; ``steelyard.harness.store.database`` runs
them.
"""
