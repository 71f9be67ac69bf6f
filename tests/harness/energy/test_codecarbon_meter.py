"""codecarbon behind the door: offline, silent, one tracker, and every part graded."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from steelyard.harness.energy import EnergyConfig, codecarbon_meter
from steelyard.harness.energy.codecarbon_meter import CodecarbonMeter, components


@pytest.fixture(scope="module")
def meter() -> Iterator[CodecarbonMeter]:
    meter = CodecarbonMeter(EnergyConfig(country="FRA", pue=1.5))
    yield meter
    meter.close()


def test_a_window_has_energy_by_component_that_adds_up(meter: CodecarbonMeter) -> None:
    with meter.window("train full") as reading:
        time.sleep(0.5)
    record = reading.energy("train")
    assert (record.phase, record.meter, record.pue) == ("train", "codecarbon", 1.5)
    assert 0.5 <= record.seconds < 5
    assert record.energy_kwh is not None
    assert record.energy_kwh > 0
    assert record.energy_kwh == pytest.approx(sum(c.energy_kwh or 0 for c in record.components))
    names = [c.name for c in record.components]
    assert names[0] == "cpu"
    assert names[-1] == "ram"
    ram = record.components[-1]
    assert (ram.grade, ram.method.endswith("W model")) == ("estimated", True)
    # The model's power over the window's time: the joules are the window's and no one else's.
    watts = float(ram.method.split()[0])
    assert ram.energy_kwh == pytest.approx(watts * record.seconds / 3.6e6, rel=0.2)
    assert record.co2e_g == pytest.approx(record.energy_kwh * 1.5 * 56.039)
    assert record.intensity is not None
    assert record.note == "under 5 s: too short for sampled power"


def test_later_windows_start_at_once_and_count_only_themselves(meter: CodecarbonMeter) -> None:
    with meter.window("a"):
        pass
    started = time.perf_counter()
    with meter.window("a") as short:
        time.sleep(0.1)
    assert time.perf_counter() - started < 2
    with meter.window("a") as long:
        time.sleep(0.6)
    used = [r.energy("score").components[-1].energy_kwh for r in (short, long)]
    assert used[1] / used[0] == pytest.approx(long.seconds / short.seconds, rel=0.3)


def test_an_exception_keeps_the_energy_and_marks_it(meter: CodecarbonMeter) -> None:
    with pytest.raises(KeyboardInterrupt), meter.window("train dpo") as reading:
        time.sleep(0.1)
        raise KeyboardInterrupt
    record = reading.energy("train")
    assert record.energy_kwh is not None
    assert record.note is not None
    assert record.note.startswith("interrupted by KeyboardInterrupt")
    with meter.window("next") as reading:
        pass
    assert reading.energy("train").energy_kwh is not None


def test_without_a_country_there_is_energy_and_no_grams(meter: CodecarbonMeter) -> None:
    with CodecarbonMeter(EnergyConfig()).window("x") as reading:
        time.sleep(0.05)
    record = reading.energy("score")
    assert record.energy_kwh is not None
    assert (record.co2e_g, record.intensity) == (None, None)


def test_all_meters_of_a_process_share_one_offline_tracker(meter: CodecarbonMeter) -> None:
    with meter.window("a"):
        tracker = codecarbon_meter._tracker
    with CodecarbonMeter(EnergyConfig(country="POL")).window("b"):
        assert codecarbon_meter._tracker is tracker
    assert type(tracker).__name__ == "OfflineEmissionsTracker"


def test_the_private_shape_that_grades_stand_on_is_there(meter: CodecarbonMeter) -> None:
    """``_hardware`` and ``_mode`` say whether codecarbon measures; nothing public does."""
    with meter.window("a"):
        hardware = {type(h).__name__: h for h in codecarbon_meter._tracker._hardware}
    assert {"RAM", "CPU"} <= hardware.keys()
    assert hardware["RAM"].total_power().W > 0
    modes = {*codecarbon_meter.COUNTERS, "cpu_load", "constant"}
    assert hardware["CPU"]._mode in modes


def test_a_counter_is_measured_and_a_model_is_estimated() -> None:
    def part(kind: str, **fields: Any) -> Any:
        return type(kind, (), fields)()

    tracker = SimpleNamespace(
        _hardware=[
            part("RAM", total_power=lambda self: SimpleNamespace(W=20.0)),
            part("CPU", _mode="intel_rapl"),
            part("GPU", devices=SimpleNamespace(devices=[part("D", _use_power_fallback=False)])),
        ]
    )
    used = SimpleNamespace(cpu_energy=1.0, ram_energy=2.0, gpu_energy=None)
    found = {c.name: (c.grade, c.energy_kwh) for c in components(tracker, used)}
    assert found == {
        "cpu": ("measured", 1.0),
        "gpu": ("unavailable", None),
        "ram": ("estimated", 2.0),
    }
    tracker._hardware[1]._mode = "cpu_load"
    tracker._hardware[2].devices.devices[0]._use_power_fallback = True
    used.gpu_energy = 3.0
    found = {c.name: (c.grade, c.energy_kwh) for c in components(tracker, used)}
    assert found["cpu"] == ("estimated", 1.0)
    assert found["gpu"] == ("estimated", 3.0)


class _Broken:
    def __init__(self, fail_at: str) -> None:
        self.fail_at = fail_at

    def start_task(self, name: str) -> None:
        if self.fail_at == "start":
            raise RuntimeError("no sensors")

    def stop_task(self, name: str) -> None:
        if self.fail_at == "stop":
            raise RuntimeError("sensors lost")

    def flush(self) -> None:
        pass


@pytest.mark.parametrize("fail_at", ["start", "stop", "none returned"])
def test_a_broken_tracker_is_unavailable_and_never_stops_the_work(
    fail_at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codecarbon_meter, "_open_tracker", lambda: _Broken(fail_at))
    done = False
    with CodecarbonMeter(EnergyConfig(country="FRA")).window("x") as reading:
        done = True
    record = reading.energy("train")
    assert done
    assert (record.energy_kwh, record.co2e_g, record.grade) == (None, None, "unavailable")
    assert record.note == "codecarbon measured nothing"


def test_a_window_within_a_window_is_unavailable_and_spares_the_outer(
    meter: CodecarbonMeter,
) -> None:
    with meter.window("outer") as outer:
        with meter.window("inner") as inner:
            time.sleep(0.05)
        time.sleep(0.05)
    assert inner.energy("score").energy_kwh is None
    assert inner.energy("score").note == "another window was open: its energy holds this one's"
    assert outer.energy("score").energy_kwh is not None


def test_counters_are_read_before_they_can_wrap(monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[float] = []
    tracker = _Broken("nowhere")
    tracker.flush = lambda: flushed.append(time.perf_counter())  # type: ignore[method-assign]
    monkeypatch.setattr(codecarbon_meter, "_open_tracker", lambda: tracker)
    monkeypatch.setattr(codecarbon_meter, "FLUSH_SECONDS", 0.02)
    with CodecarbonMeter().window("x"):
        time.sleep(0.3)
    assert len(flushed) >= 3
    count = len(flushed)
    time.sleep(0.1)
    assert len(flushed) == count


def test_it_is_silent_writes_no_file_and_never_asks_the_network(tmp_path: Any) -> None:
    # Settings that would make codecarbon call home or change its figures, as a user may have them.
    (tmp_path / ".codecarbon.config").write_text(
        "[codecarbon]\nelectricitymaps_api_token = x\nco2_signal_api_token = y\n"
        "save_to_api = true\noutput_methods = csv,api\nemissions_endpoint = http://example.org\n"
        "pue = 9\nforce_cpu_power = 9999\nforce_ram_power = 9999\nlog_level = debug\n"
        "allow_multiple_runs = false\ncountry_iso_code = POL\n"
    )
    code = (
        "import socket, time\n"
        "def refuse(*a, **k): raise SystemExit('the network was asked')\n"
        "socket.socket.connect = refuse; socket.getaddrinfo = refuse\n"
        "from steelyard.harness.energy import EnergyConfig, open_meter\n"
        "meter = open_meter(EnergyConfig())\n"
        "with meter.window('x') as reading: time.sleep(0.2)\n"
        "meter.close(); record = reading.energy('train')\n"
        "assert record.energy_kwh is not None and record.co2e_g is None, record\n"
        "assert record.energy_kwh * 3.6e6 / record.seconds < 2000, record\n"
        "assert not any('9999' in c.method for c in record.components), record\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [p.name for p in tmp_path.iterdir()] == [".codecarbon.config"]
