"""A meter on a machine that several stages use at once: each is charged its share.

A meter sees the whole machine. Two stages side by side would each be charged for both, so processor
and memory are divided by processor time (the share of all busy time that was this process's), and
called estimated: that division is a model, whatever the counter was. A GPU that is shared has one
counter for all its users and no such key: its energy is unavailable.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from steelyard.harness.energy.reading import grams, weakest
from steelyard.harness.plugins import Meter, Reading
from steelyard.harness.records import Energy, EnergyComponent


class SharedMeter:
    """Another meter's windows, with this process's share of what they measured.

    Args:
        meter: sees the whole machine.
        gpu_shared: whether other stages use this one's GPU.
    """

    def __init__(self, meter: Meter, *, gpu_shared: bool = False) -> None:
        self._meter = meter
        self._gpu_shared = gpu_shared

    @contextmanager
    def window(self, name: str) -> Iterator[SharedReading]:
        """Measure the block, and whose time the processor spent in it."""
        own, busy = time.process_time(), _busy_seconds()
        with self._meter.window(name) as reading:
            shared = SharedReading(reading, self._gpu_shared)
            try:
                yield shared
            finally:
                spent = _busy_seconds() - busy
                if spent > 0:
                    shared.share = min(1.0, (time.process_time() - own) / spent)

    def close(self) -> None:
        """Stop the other meter."""
        self._meter.close()


class SharedReading:
    """A window's energy, divided; readable after exit."""

    def __init__(self, reading: Reading, gpu_shared: bool) -> None:
        self._reading = reading
        self._gpu_shared = gpu_shared
        self.share: float | None = None
        """Of the machine's busy processor time; None where it is not known."""

    def energy(self, phase: str) -> Energy:
        """This process's part; None as a whole where one component has none."""
        whole = self._reading.energy(phase)
        if not whole.components:
            return whole
        parts = tuple(map(self._part, whole.components))
        kwh = [part.energy_kwh for part in parts if part.energy_kwh is not None]
        energy_kwh = sum(kwh) if len(kwh) == len(parts) else None
        notes = [whole.note] if whole.note else []
        if energy_kwh is None and kwh:
            missing = ", ".join(part.name for part in parts if part.energy_kwh is None)
            notes.append(f"at least {sum(kwh):.3g} kWh; no energy of {missing}")
        return whole.model_copy(
            update={
                "components": parts,
                "energy_kwh": energy_kwh,
                "grade": weakest([part.grade for part in parts]),
                "co2e_g": grams(energy_kwh, whole.intensity, whole.pue),
                "note": "; ".join(notes) or None,
            }
        )

    def _part(self, whole: EnergyComponent) -> EnergyComponent:
        if whole.energy_kwh is None or (whole.name == "gpu" and not self._gpu_shared):
            return whole
        if whole.name == "gpu" or self.share is None:
            method = f"{whole.method}, shared with other stages"
            return EnergyComponent(
                name=whole.name, energy_kwh=None, grade="unavailable", method=method
            )
        method = f"{whole.method} x {self.share:.0%} of the machine's processor time"
        used = whole.energy_kwh * self.share
        return EnergyComponent(name=whole.name, energy_kwh=used, grade="estimated", method=method)


def _busy_seconds() -> float:
    """Processor seconds that the machine has spent on anything, all cores together."""
    import psutil

    times = psutil.cpu_times()
    names = ("user", "nice", "system", "irq", "softirq", "steal")
    return float(sum(getattr(times, name, 0.0) for name in names))
