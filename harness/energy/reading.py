"""What a window measured: joules by component, until it closed or broke."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from steelyard.harness.records import CarbonIntensity, Energy, EnergyComponent, Grade

if TYPE_CHECKING:
    from steelyard.harness.energy.config import EnergyConfig, Phase

JOULES_PER_KWH = 3_600_000.0
#: Below this a sampled power (one reading a second) says little about the window.
SHORT_SECONDS = 5.0
_WEAKEST_FIRST: tuple[Grade, ...] = ("unavailable", "estimated", "measured")


def weakest(grades: Sequence[Grade]) -> Grade:
    """The grade of a sum: that of its weakest part; ``unavailable`` where there is none."""
    return min(grades, key=_WEAKEST_FIRST.index, default="unavailable")


@dataclass
class WindowReading:
    """One window's result, filled in by its meter as the window closes.

    ``components`` is empty where nothing measured. Readable after exit, also after an exception.
    """

    config: EnergyConfig
    meter: str
    seconds: float = 0.0
    components: tuple[EnergyComponent, ...] = ()
    notes: list[str] = field(default_factory=list)
    too_short: bool = False

    def energy(self, phase: str) -> Energy:
        """The record: energy of the device, and grams = kWh x PUE x intensity.

        The total is None where any component is unavailable: a sum that lacks a part is no sum.
        """
        parts = [part.energy_kwh for part in self.components]
        kwh = [part for part in parts if part is not None]
        energy_kwh = sum(kwh) if kwh and len(kwh) == len(parts) else None
        intensity = self.config.intensity()
        notes = list(self.notes)
        if kwh and energy_kwh is None:
            missing = ", ".join(p.name for p in self.components if p.energy_kwh is None)
            notes.append(f"at least {sum(kwh):.3g} kWh; no energy of {missing}")
        rate = self.config.embodied_g_per_hour
        embodied = None if rate is None else rate * self.seconds / 3600
        return Energy(
            phase=cast("Phase", phase),
            seconds=self.seconds,
            energy_kwh=energy_kwh,
            grade=weakest([part.grade for part in self.components]),
            components=self.components,
            co2e_g=grams(energy_kwh, intensity, self.config.pue),
            intensity=intensity,
            pue=self.config.pue,
            embodied_co2e_g=embodied,
            embodied_source=(
                None if rate is None else f"{rate:g} g an hour: {self.config.embodied_source}"
            ),
            meter=self.meter,
            too_short=self.too_short,
            note="; ".join(notes) or None,
        )


def grams(energy_kwh: float | None, intensity: CarbonIntensity | None, pue: float) -> float | None:
    """Operational g CO2e = kWh x PUE x g/kWh (SCI specification, operational part)."""
    if energy_kwh is None or intensity is None:
        return None
    return energy_kwh * pue * intensity.g_per_kwh
