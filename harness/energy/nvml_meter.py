"""GPU energy straight from NVML's counters: millijoules that the device itself counted."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from steelyard.harness.energy.config import EnergyConfig
from steelyard.harness.energy.reading import JOULES_PER_KWH, WindowReading
from steelyard.harness.records import EnergyComponent

MILLIJOULES_PER_KWH = 1000 * JOULES_PER_KWH


class NvmlMeter:
    """The difference of ``nvmlDeviceGetTotalEnergyConsumption`` over a window.

    Counts whole devices (those that ``CUDA_VISIBLE_DEVICES`` names, or all), GPU only; processor
    and memory are not in it, and the record says so. Starts in milliseconds.

    Args:
        config: where the electricity comes from.
        nvml: the ``pynvml`` module, or a stand-in.
    """

    def __init__(self, config: EnergyConfig | None = None, *, nvml: Any = None) -> None:
        self._config = config or EnergyConfig(meter="nvml")
        self._given = nvml
        self._nvml: Any = None
        self._devices: list[Any] = []
        self._problem: str | None = None

    @contextmanager
    def window(self, name: str) -> Iterator[WindowReading]:
        """Measure the block; without a GPU or its counter the energy is unavailable."""
        self._open()
        reading = WindowReading(self._config, "nvml")
        before = self._millijoules()
        started = time.perf_counter()
        try:
            yield reading
        except BaseException as error:
            reading.notes.append(f"interrupted by {type(error).__name__}")
            raise
        finally:
            reading.seconds = time.perf_counter() - started
            self._close_window(reading, before, self._millijoules())

    def close(self) -> None:
        """Release NVML."""
        if self._nvml is not None:
            self._nvml.nvmlShutdown()
        self._nvml, self._devices = None, []

    def _open(self) -> None:
        if self._nvml is not None or self._problem is not None:
            return
        try:
            nvml = self._given or import_module("pynvml")
            nvml.nvmlInit()
            self._nvml = nvml
            self._devices = _devices(nvml)
            if not self._devices:
                self._problem = "no GPU"
        except Exception as error:  # NVML's errors and a missing library alike: no GPU to read
            self._problem = f"NVML: {error}"

    def _millijoules(self) -> list[int] | None:
        """Each device's counter; None where one cannot be read."""
        if self._nvml is None or not self._devices:
            return None
        try:
            return [self._nvml.nvmlDeviceGetTotalEnergyConsumption(d) for d in self._devices]
        except Exception as error:
            self._problem = f"NVML: {error}"
            return None

    def _close_window(
        self, reading: WindowReading, before: list[int] | None, after: list[int] | None
    ) -> None:
        used = None
        if before is not None and after is not None:
            used = [b - a for a, b in zip(before, after, strict=True)]
            if min(used) < 0:  # the driver was reloaded
                used, self._problem = None, "the counter was reset"
        if used is None:
            reading.notes.append(self._problem or "no GPU")
            return
        count = f"{len(used)} whole device{'s' if len(used) > 1 else ''}"
        reading.components = (
            EnergyComponent(
                name="gpu",
                energy_kwh=sum(used) / MILLIJOULES_PER_KWH,
                grade="measured",
                method=f"nvml energy counter, {count}",
            ),
        )
        reading.notes.append("GPU only: processor and memory are not counted")


def _devices(nvml: Any) -> list[Any]:
    """Handles of the devices that this process may use."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
    names = [name.strip() for name in visible.split(",") if name.strip() not in {"", "-1"}]
    return [
        nvml.nvmlDeviceGetHandleByIndex(int(name))
        if name.isdigit()
        else nvml.nvmlDeviceGetHandleByUUID(name)
        for name in names
    ]
