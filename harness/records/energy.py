"""What something cost in energy, and the machine that it ran on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from steelyard.harness.records.record import Record
from steelyard.harness.records.words import Grade


class EnergyComponent(Record):
    """The energy of one part of the machine, and how it is known."""

    name: Literal["cpu", "gpu", "ram"]
    energy_kwh: float | None
    grade: Grade
    method: str
    """E.g. ``rapl``, ``cpu_load``, ``constant``, ``nvml counter``, ``20 W model``."""


class CarbonIntensity(Record):
    """Grams of CO2 equivalent per kWh of electricity, with its provenance."""

    g_per_kwh: float
    region: str
    source: str
    year: int | None = None


class Energy(Record):
    """What one phase of one candidate used."""

    phase: Literal["train", "score", "inherited"]
    seconds: float | None
    """None: not known, as of a training that ran elsewhere."""
    energy_kwh: float | None
    grade: Grade
    components: tuple[EnergyComponent, ...] = ()
    co2e_g: float | None = None
    intensity: CarbonIntensity | None = None
    pue: float = 1.0
    embodied_co2e_g: float | None = None
    """Manufacture's share for these seconds, by a stated assumption; never part of ``co2e_g``."""
    embodied_source: str | None = None
    meter: str = "none"
    too_short: bool = False
    """Whether the window was too short for a meter that reads power now and then."""
    note: str | None = None


class Environment(Record):
    """The machine and the library versions that a number was made with."""

    python: str
    platform: str
    cpu: str | None = None
    cores: int | None = None
    memory_bytes: int | None = None
    gpus: tuple[str, ...] = ()
    packages: Mapping[str, str] = Field(default_factory=dict)
