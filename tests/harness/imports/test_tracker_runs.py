"""An emissions.csv becomes the energy of the tracker that is meant: no row lost, none twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from steelyard.harness.errors import DataError
from steelyard.harness.imports.codecarbon import read_codecarbon
from tests.harness.imports.conftest import Steelyard
from tests.harness.imports.test_others import emissions

#: Three trainings: when each ended, seconds, kWh. 0.26 kWh together.
TRAININGS = (
    ("2026-05-01T08:00:00", 3600.0, 0.05),
    ("2026-05-01T12:00:00", 7200.0, 0.20),
    ("2026-05-02T08:00:00", 600.0, 0.01),
)


def row(end: str, seconds: float, kwh: float, **others: Any) -> dict[str, Any]:
    """One line of the file; 50 g a kWh."""
    figures = {"duration": seconds, "energy_consumed": kwh, "emissions": kwh * 0.05}
    parts = {"cpu_energy": kwh * 0.8, "ram_energy": kwh * 0.2}
    return {"timestamp": end, "run_id": "None", **figures, **parts, **others}


@pytest.mark.parametrize("no_id", ["None", "", "nan", "null"])
def test_trainings_without_an_id_are_several_and_their_sum_is_asked_for(
    no_id: str, tmp_path: Path
) -> None:
    rows = [row(*training, run_id=no_id) for training in TRAININGS]
    file = emissions(tmp_path / "e.csv", *rows)
    with pytest.raises(DataError, match=r"3 of its tracker runs are meant.*without a run_id"):
        read_codecarbon(file)
    (energy,) = read_codecarbon(file, every=True).run.energy
    assert energy.energy_kwh == pytest.approx(0.26)
    assert energy.seconds == pytest.approx(11_400)
    assert energy.co2e_g == pytest.approx(13.0)
    assert {c.name: c.energy_kwh for c in energy.components} == pytest.approx(
        {"cpu": 0.208, "ram": 0.052}
    )
    assert energy.note is not None and energy.note.endswith("3 tracker runs")


def test_one_of_them_is_named_by_when_it_started(steelyard: Steelyard) -> None:
    emissions(Path("e.csv"), *(row(*training) for training in TRAININGS))
    refused = steelyard("import", "codecarbon", "e.csv")
    assert refused.code == 2
    assert "2026-05-01T10:00:00 (tuning)" in refused.err and "--sum" in refused.err
    done = steelyard("import", "codecarbon", "e.csv", "--run-id", "2026-05-01T10:00:00")
    assert done.code == 0 and "0.2 kWh" in done.out
    summed = steelyard("import", "codecarbon", "e.csv", "--sum", "--name", "all")
    assert summed.code == 0 and "0.26 kWh" in summed.out


def test_rows_without_an_id_that_began_at_one_moment_are_one_tracker_that_flushed(
    tmp_path: Path,
) -> None:
    file = emissions(
        tmp_path / "e.csv",
        row("2026-05-01T08:00:00", 3600.0, 0.05),
        row("2026-05-01T09:00:01", 7200.4, 0.11),
    )
    assert read_codecarbon(file).run.energy[0].energy_kwh == 0.11


def test_moments_with_a_time_zone_are_held_beside_those_without(tmp_path: Path) -> None:
    file = emissions(
        tmp_path / "e.csv",
        row("2026-05-01T10:00:00+02:00", 3600.0, 0.05),
        row("2026-05-01T09:00:00", 7200.0, 0.11),
    )
    assert read_codecarbon(file).run.energy[0].energy_kwh == 0.11


def test_a_tracker_that_flushed_between_others_still_counts_once(tmp_path: Path) -> None:
    file = emissions(
        tmp_path / "e.csv",
        row("2026-05-01T08:00:00", 3600.0, 0.05, run_id="first"),
        row("2026-05-03T08:00:00", 600.0, 0.01, run_id="second"),
        row("2026-05-01T09:00:00", 7200.0, 0.11, run_id="first"),
    )
    (energy,) = read_codecarbon(file, every=True).run.energy
    assert energy.energy_kwh == pytest.approx(0.12)


def test_one_id_over_a_total_that_falls_is_refused(tmp_path: Path) -> None:
    rows = [row("", *training[1:], run_id="one") for training in TRAININGS]
    file = emissions(tmp_path / "e.csv", *rows)
    with pytest.raises(DataError, match="line 4 of run one has a smaller duration") as refused:
        read_codecarbon(file)
    assert str(refused.value).startswith(str(file))


def test_one_id_of_trackers_that_began_one_after_the_other_is_refused(tmp_path: Path) -> None:
    """The second used more than the first, and its row looks like the total of both."""
    rows = [row(*training, run_id="one") for training in TRAININGS[:2]]
    with pytest.raises(DataError, match="line 3 of run one began at 2026-05-01 10:00:00, after"):
        read_codecarbon(emissions(tmp_path / "e.csv", *rows))
    # A machine that slept for half an hour between two flushes: the tracker is one.
    slept = [
        row("2026-05-01T08:00:00", 3600.0, 0.05, run_id="one"),
        row("2026-05-01T09:30:00", 7200.0, 0.10, run_id="one"),
    ]
    (energy,) = read_codecarbon(emissions(tmp_path / "e.csv", *slept)).run.energy
    assert energy.energy_kwh == pytest.approx(0.10)


def test_trackers_of_one_machine_that_ran_at_once_have_no_sum(tmp_path: Path) -> None:
    both = [
        row("2026-05-01T08:00:00", 3600.0, 0.05, run_id="a", tracking_mode="machine"),
        row("2026-05-01T08:30:00", 3600.0, 0.05, run_id="b", tracking_mode="machine"),
    ]
    with pytest.raises(DataError, match="a and b ran at once"):
        read_codecarbon(emissions(tmp_path / "e.csv", *both), every=True)
    alone = [{**each, "tracking_mode": "process"} for each in both]
    (energy,) = read_codecarbon(emissions(tmp_path / "p.csv", *alone), every=True).run.energy
    assert energy.energy_kwh == pytest.approx(0.1)


def test_ids_that_begin_alike_are_shown_as_far_as_they_differ(tmp_path: Path) -> None:
    names = ("a1b2c3d4-0001", "a1b2c3d4-0002")
    file = emissions(tmp_path / "e.csv", *({"run_id": name} for name in names))
    with pytest.raises(DataError, match=r"a1b2c3d4-0001 \(tuning\), a1b2c3d4-0002 \(tuning\)"):
        read_codecarbon(file)
    assert read_codecarbon(file, run_id=names[1]).run.energy[0].energy_kwh == 0.1


def test_codecarbons_pue_is_taken_out_of_the_devices_energy(tmp_path: Path) -> None:
    """It multiplies each energy by its PUE before it writes it; grams stay what they were."""
    file = emissions(
        tmp_path / "e.csv",
        {"pue": 1.5, "energy_consumed": 0.15, "cpu_energy": 0.09, "ram_energy": 0.06},
    )
    (energy,) = read_codecarbon(file).run.energy
    assert energy.energy_kwh == pytest.approx(0.1)
    assert {c.name: c.energy_kwh for c in energy.components} == pytest.approx(
        {"cpu": 0.06, "ram": 0.04}
    )
    assert energy.co2e_g == pytest.approx(5.6)
    assert energy.intensity is not None and energy.energy_kwh is not None
    assert energy.energy_kwh * energy.pue * energy.intensity.g_per_kwh == pytest.approx(5.6)
