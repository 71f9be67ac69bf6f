"""Energy and carbon: one door (``open_meter``), and how records add up."""

from harness.energy.config import EnergyConfig, open_meter
from harness.energy.totals import ServingCost, break_even_queries, inherited, total

__all__ = [
    "EnergyConfig",
    "ServingCost",
    "break_even_queries",
    "inherited",
    "open_meter",
    "total",
]
