"""Alembic's migrations of the shared store's database, run by ``store/shared/database.py``."""
