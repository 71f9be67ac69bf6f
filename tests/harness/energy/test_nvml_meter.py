"""GPU energy is the difference of the device's own counter; without one it is unavailable."""

from __future__ import annotations

import pytest

from steelyard.harness.energy import EnergyConfig
from steelyard.harness.energy.nvml_meter import NvmlMeter


class FakeNvml:
    """Two GPUs whose counters (mJ) a test moves."""

    def __init__(self, counters: tuple[int, ...] = (1_000, 5_000)) -> None:
        self.counters = list(counters)
        self.open = 0
        self.broken = False

    def nvmlInit(self) -> None:
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:
        return len(self.counters)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> int:
        return int(uuid[-1])

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> int:
        if self.broken:
            raise RuntimeError("Not Supported")
        return self.counters[handle]


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return FakeNvml()


def test_joules_of_the_counter_arrive_unchanged(nvml: FakeNvml) -> None:
    meter = NvmlMeter(EnergyConfig(country="FRA"), nvml=nvml)
    with meter.window("train") as reading:
        nvml.counters = [3_601_000, 5_000 + 7_200_000]  # 3.6 kJ and 7.2 kJ
    record = reading.energy("train")
    assert record.energy_kwh == pytest.approx(0.003)
    (gpu,) = record.components
    assert (gpu.name, gpu.grade) == ("gpu", "measured")
    assert gpu.method == "nvml energy counter, 2 whole devices"
    assert record.note == "GPU only: processor and memory are not counted"
    meter.close()
    meter.close()
    assert nvml.open == 0


@pytest.mark.parametrize("visible", ["1", "GPU-uuid-1"])
def test_only_visible_devices_count(
    nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch, visible: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with NvmlMeter(nvml=nvml).window("x") as reading:
        nvml.counters = [9_999_999, 5_000 + 3_600_000]
    assert reading.energy("train").energy_kwh == pytest.approx(0.001)


def test_a_window_that_breaks_keeps_its_energy(nvml: FakeNvml) -> None:
    with pytest.raises(ValueError, match="x"), NvmlMeter(nvml=nvml).window("x") as reading:
        nvml.counters[0] += 3_600_000
        raise ValueError("x")
    record = reading.energy("train")
    assert record.energy_kwh == pytest.approx(0.001)
    assert record.note is not None
    assert record.note.startswith("interrupted by ValueError")


@pytest.mark.parametrize("trouble", ["no device", "no counter", "reset"])
def test_what_cannot_be_read_is_unavailable(nvml: FakeNvml, trouble: str) -> None:
    nvml.broken = trouble == "no counter"
    if trouble == "no device":
        nvml.counters = []
    with NvmlMeter(nvml=nvml).window("x") as reading:
        if trouble == "reset":
            nvml.counters = [0, 0]
    record = reading.energy("train")
    assert (record.energy_kwh, record.grade) == (None, "unavailable")
    assert record.note


def test_a_machine_without_a_driver_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    class Absent(FakeNvml):
        def nvmlInit(self) -> None:
            raise RuntimeError("NVML Shared Library Not Found")

    with NvmlMeter(nvml=Absent()).window("x") as reading:
        pass
    assert reading.energy("train").note == "NVML: NVML Shared Library Not Found"
