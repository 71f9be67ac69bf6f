"""No meter: time is known, energy is unavailable."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from steelyard.harness.energy.config import EnergyConfig
from steelyard.harness.energy.reading import WindowReading


class NoMeter:
    """Says ``unavailable`` everywhere, and never 0."""

    def __init__(self, config: EnergyConfig | None = None) -> None:
        self._config = config or EnergyConfig(meter="none")

    @contextmanager
    def window(self, name: str) -> Iterator[WindowReading]:
        """Time the block."""
        reading = WindowReading(self._config, "none")
        started = time.perf_counter()
        try:
            yield reading
        finally:
            reading.seconds = time.perf_counter() - started

    def close(self) -> None:
        """Nothing to stop."""
