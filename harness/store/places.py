"""Where a store that machines share has its things: the places, handed to whoever works on them."""

from __future__ import annotations

from dataclasses import dataclass

from steelyard.harness.store.layout import Layout
from steelyard.harness.store.leases import Leases
from steelyard.harness.store.location import Location
from steelyard.harness.store.shared_index import SharedIndex


@dataclass(frozen=True)
class SharedPlaces:
    """The places of one shared store."""

    name: str
    """The database's address, without what is secret."""
    layout: Layout
    """This machine's cache."""
    location: Location
    """The truth: runs, checkpoints and finished stages."""
    index: SharedIndex
    leases: Leases
