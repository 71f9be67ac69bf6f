"""A store that many machines share: files in a location, index and leases in PostgreSQL."""

from steelyard.harness.store.shared.store import SharedStore, open_shared

__all__ = ["SharedStore", "open_shared"]
