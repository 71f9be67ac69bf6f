"""Addresses of stores: which kind they are."""

from __future__ import annotations

from steelyard.harness.files import redacted

__all__ = ["is_postgresql", "is_url", "redacted"]


def is_url(text: str) -> bool:
    """Whether ``text`` is an address and not a folder."""
    return "://" in text


def is_postgresql(url: str) -> bool:
    """Whether a store's address names a PostgreSQL database."""
    return url.partition("://")[0].partition("+")[0] in ("postgresql", "postgres")
