"""Energy by codecarbon: offline, one tracker a process, one task a window.

Only the tracker's joules are used. Grams are ours (kWh x PUE x intensity), because the tracker
puts a world average in place of a country that it does not know, and says so nowhere. Every
option that could reach the network or a ``.codecarbon.config`` is set explicitly.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from steelyard.harness.energy.config import EnergyConfig
from steelyard.harness.energy.reading import SHORT_SECONDS, WindowReading
from steelyard.harness.records import EnergyComponent, Grade

#: RAPL counters wrap (about 45 minutes at 100 W), and codecarbon reads them only when asked.
FLUSH_SECONDS = 20.0
SAMPLE_SECONDS = 2.0

#: CPU modes that read a counter of the hardware; every other mode is a model of the load.
COUNTERS = {
    "intel_rapl": "rapl counter",
    "windows_emi": "energy meter interface",
    "intel_power_gadget": "power gadget",
}

#: One a process: two would each count the whole machine.
_tracker: Any = None
_tracker_lock = threading.Lock()
_window_lock = threading.Lock()


class CodecarbonMeter:
    """Windows as tasks of the process's one tracker; the first window starts it (about 3 s)."""

    def __init__(self, config: EnergyConfig | None = None) -> None:
        self._config = config or EnergyConfig()

    @contextmanager
    def window(self, name: str) -> Iterator[WindowReading]:
        """Measure the block; what an exception leaves is kept and marked.

        Where the tracker fails, the block runs on and its energy is ``unavailable``.
        """
        reading = WindowReading(self._config, "codecarbon")
        # A task within a task would stop the sampling of the outer one.
        alone = _window_lock.acquire(blocking=False)
        task = _Task.started(name) if alone else None
        started = time.perf_counter()
        try:
            yield reading
        except BaseException as error:
            reading.notes.append(f"interrupted by {type(error).__name__}")
            raise
        finally:
            reading.seconds = time.perf_counter() - started
            if task is not None:
                reading.components = task.stopped()
            if alone:
                _window_lock.release()
            _remark(reading, alone)

    def close(self) -> None:
        """Stop the process's tracker; the next window starts another."""
        global _tracker
        with _tracker_lock:
            if _tracker is not None:
                _tracker.stop()
                _tracker = None


def _remark(reading: WindowReading, alone: bool) -> None:
    """Note in the reading why its figure is missing or says little."""
    if not alone:
        reading.notes.append("another window was open: its energy holds this one's")
    elif not reading.components:
        reading.notes.append("codecarbon measured nothing")
    elif reading.seconds < SHORT_SECONDS:
        reading.too_short = True
        reading.notes.append(f"under {SHORT_SECONDS:g} s: too short for sampled power")


class _Task:
    """A running task of the tracker, with a thread that keeps its counters from wrapping."""

    def __init__(self, tracker: Any, name: str) -> None:
        self._tracker = tracker
        self._name = name
        self._done = threading.Event()
        self._flusher = threading.Thread(target=self._flush, name="energy", daemon=True)
        tracker.start_task(name)
        self._flusher.start()

    @classmethod
    def started(cls, name: str) -> _Task | None:
        try:
            return cls(_open_tracker(), f"{name} {time.monotonic_ns()}")
        except Exception:
            # A meter must never stop the work that it measures.
            logging.getLogger(__name__).warning("codecarbon did not start", exc_info=True)
            return None

    def _flush(self) -> None:
        while not self._done.wait(FLUSH_SECONDS):
            self._tracker.flush()

    def stopped(self) -> tuple[EnergyComponent, ...]:
        self._done.set()
        self._flusher.join()
        try:
            used = self._tracker.stop_task(self._name)
            return () if used is None else components(self._tracker, used)
        except Exception:
            logging.getLogger(__name__).warning("codecarbon did not answer", exc_info=True)
            return ()


def _open_tracker() -> Any:
    """The process's tracker: offline, silent, without files, hooks or forced values."""
    global _tracker
    with _tracker_lock:
        if _tracker is None:
            from codecarbon import OfflineEmissionsTracker

            # After the import, which sets its own level, and before the tracker says anything.
            logging.getLogger("codecarbon").setLevel(logging.ERROR)
            _tracker = OfflineEmissionsTracker(
                country_iso_code=None,
                region=None,
                cloud_provider=None,
                cloud_region=None,
                country_2letter_iso_code=None,
                # With an intensity of its own it asks no service; we never read its grams.
                force_carbon_intensity_g_co2e_kwh=1.0,
                electricitymaps_api_token=None,
                emissions_endpoint=None,
                output_methods=[],
                output_handlers=[],
                api_call_interval=-1,
                log_level="error",
                measure_power_secs=SAMPLE_SECONDS,
                tracking_mode="machine",
                allow_multiple_runs=True,
                force_cpu_power=None,
                force_ram_power=None,
                force_mode_cpu_load=False,
                gpu_ids=None,
                pue=1.0,
                wue=0.0,
            )
        return _tracker


def components(tracker: Any, used: Any) -> tuple[EnergyComponent, ...]:
    """The parts of the machine that the tracker follows, each with method and grade.

    ``tracker._hardware`` is private: codecarbon says nowhere else whether it measures or models.
    The dependency is pinned to one minor version, and a test holds the shape.
    """
    parts: dict[str, EnergyComponent] = {}
    for hardware in tracker._hardware:
        name, grade, method = _described(hardware)
        energy_kwh = getattr(used, f"{name}_energy", None)
        if energy_kwh is None:
            grade = "unavailable"
        parts[name] = EnergyComponent.model_validate(
            {"name": name, "energy_kwh": energy_kwh, "grade": grade, "method": method}
        )
    return tuple(parts[name] for name in ("cpu", "gpu", "ram") if name in parts)


def _described(hardware: Any) -> tuple[str, Grade, str]:
    """(component, grade, method) of one of codecarbon's hardware objects."""
    kind = type(hardware).__name__
    if kind == "CPU":
        mode = str(getattr(hardware, "_mode", "unknown"))
        if mode in COUNTERS:
            return "cpu", "measured", COUNTERS[mode]
        model = {"cpu_load": "cpu load", "constant": "constant share"}.get(mode, mode)
        return "cpu", "estimated", f"{model} x {getattr(hardware, '_tdp', 0):g} W"
    if kind == "GPU":
        devices = getattr(getattr(hardware, "devices", None), "devices", [])
        if devices and not any(getattr(d, "_use_power_fallback", True) for d in devices):
            return "gpu", "measured", "nvml energy counter, whole device"
        return "gpu", "estimated", "sampled power, whole device"
    if kind == "RAM":
        watts = float(hardware.total_power().W)
        return "ram", "estimated", f"{watts:.0f} W model"
    if kind in {"AppleSiliconChip", "Raspberry"}:
        return str(hardware.chip_part).lower(), "measured", "power of the chip's own sensors"
    return "cpu", "estimated", kind
