"""Energy of stages that were tried more than once, or not alone on their machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from steelyard.harness.energy.attempts import Attempts
from steelyard.harness.energy.fake_meter import FakeMeter
from steelyard.harness.energy.sharing import SharedMeter


def test_one_attempt_is_its_own_energy(tmp_path: Path) -> None:
    with FakeMeter().window("x") as alone:
        pass
    attempts = Attempts(tmp_path / "s", "train")
    with attempts.window(FakeMeter(), "x") as reading:
        pass
    assert reading.energy("train") == alone.energy("train")
    attempts.forget()
    assert not (tmp_path / "s").exists()


def test_what_a_failed_attempt_used_is_added(tmp_path: Path) -> None:
    attempts = Attempts(tmp_path / "s", "train")
    for _ in range(2):
        with pytest.raises(RuntimeError), attempts.window(FakeMeter(), "x"):
            raise RuntimeError("no")
    with attempts.window(FakeMeter(), "x") as reading:
        pass
    energy = reading.energy("train")
    assert energy.energy_kwh == pytest.approx(3 * 3960 / 3.6e6)
    assert energy.seconds == 3.0
    assert "3 attempts together" in (energy.note or "")


def test_an_attempt_that_failed_after_its_window_is_known(tmp_path: Path) -> None:
    for _ in range(2):  # the second: what was measured could not be stored
        with Attempts(tmp_path / "s", "train").window(FakeMeter(), "x") as reading:
            pass
    energy = reading.energy("train")
    assert energy.seconds == 2.0
    assert energy.note == "2 attempts together"


def test_a_killed_attempt_is_stated_and_not_guessed(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from steelyard.harness.energy.attempts import Attempts\n"
        "from steelyard.harness.energy.fake_meter import FakeMeter\n"
        "with Attempts(Path(sys.argv[1]), 'score').window(FakeMeter(), 'x'):\n"
        "    print('in', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "s")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "in\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with Attempts(tmp_path / "s", "score").window(FakeMeter(), "x") as reading:
        pass
    energy = reading.energy("score")
    assert energy.energy_kwh == pytest.approx(3960 / 3.6e6)
    assert "without a killed attempt" in (energy.note or "")
    assert "not known" in (energy.note or "")


def test_a_shared_machine_is_divided_by_processor_time_and_called_estimated() -> None:
    meter = SharedMeter(FakeMeter(joules={"cpu": 3600.0, "ram": 360.0, "gpu": 7200.0}))
    with meter.window("x") as reading:
        sum(range(3_000_000))
    assert reading.share is not None
    assert 0 < reading.share <= 1
    energy = reading.energy("train")
    parts = {part.name: part for part in energy.components}
    assert parts["cpu"].energy_kwh == pytest.approx(0.001 * reading.share)
    assert parts["cpu"].grade == parts["ram"].grade == energy.grade == "estimated"
    assert (parts["gpu"].energy_kwh, parts["gpu"].grade) == (0.002, "measured")


def test_a_shared_gpu_is_unavailable_and_so_is_the_sum() -> None:
    meter = SharedMeter(FakeMeter(joules={"cpu": 1.0, "gpu": 7200.0}), gpu_shared=True)
    with meter.window("x") as reading:
        sum(range(3_000_000))
    energy = reading.energy("train")
    gpu = next(part for part in energy.components if part.name == "gpu")
    assert (gpu.energy_kwh, gpu.grade) == (None, "unavailable")
    assert (energy.energy_kwh, energy.grade, energy.co2e_g) == (None, "unavailable", None)
    assert "no energy of gpu" in (energy.note or "")
