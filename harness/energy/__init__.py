"""Energy and carbon: one door (``open_meter``), and how records add up."""

from steelyard.harness.energy.attempts import Attempts
from steelyard.harness.energy.config import EnergyConfig, open_meter
from steelyard.harness.energy.reading import JOULES_PER_KWH, WindowReading
from steelyard.harness.energy.sharing import SharedMeter
from steelyard.harness.energy.totals import (
    ServingCost,
    break_even_queries,
    duration,
    inherited,
    known_seconds,
    total,
    trained_elsewhere,
)

__all__ = [
    "JOULES_PER_KWH",
    "Attempts",
    "EnergyConfig",
    "ServingCost",
    "SharedMeter",
    "WindowReading",
    "break_even_queries",
    "duration",
    "inherited",
    "known_seconds",
    "open_meter",
    "total",
    "trained_elsewhere",
]
