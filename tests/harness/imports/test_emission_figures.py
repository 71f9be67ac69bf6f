"""Figures of emissions.csv that cannot all be true are refused, with what contradicts what."""

from __future__ import annotations

from pathlib import Path

import pytest

from steelyard.harness.errors import DataError
from steelyard.harness.imports.codecarbon import read_codecarbon

SOUND = {
    "timestamp": "2026-01-01T10:00:00",
    "project_name": "tune",
    "run_id": "abc",
    "duration": "100",
    "emissions": "0.0084",  # 56 g/kWh: France
    "energy_consumed": "0.15",
    "cpu_energy": "0.05",
    "gpu_energy": "0.08",
    "ram_energy": "0.02",
    "country_iso_code": "FRA",
}


def line(folder: Path, **changes: str) -> Path:
    file = folder / "emissions.csv"
    values = {**SOUND, **changes}
    file.write_text(f"{','.join(values)}\n{','.join(values.values())}\n")
    return file


def test_a_sound_line_comes_in_as_it_is(tmp_path: Path) -> None:
    (energy,) = read_codecarbon(line(tmp_path)).run.energy
    assert energy.energy_kwh == pytest.approx(0.15)
    assert energy.co2e_g == pytest.approx(8.4)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        # mlco2/codecarbon #309: RAPL's counter ran over
        ({"cpu_energy": "-0.05"}, "cpu_energy: an energy is not negative (got -0.05)"),
        ({"gpu_energy": "0.8"}, "energy_consumed: is 0.15 kWh, but cpu, gpu and ram together are"),
        # mlco2/codecarbon #851: a task that ended between two readings
        (
            dict.fromkeys(("energy_consumed", "cpu_energy", "gpu_energy", "ram_energy"), "0"),
            "energy_consumed: is 0 kWh in 100 s: the tracker measured nothing",
        ),
        # grams in place of kilograms (green-coding-solutions/eco-ci-energy-estimation #153)
        ({"emissions": "8.4"}, "emissions: are 56,000 g of CO2 for each kWh"),
        # joules, and a time in milliseconds that was rounded to nothing
        (
            {
                "energy_consumed": "540000",
                "cpu_energy": "180000",
                "gpu_energy": "288000",
                "ram_energy": "72000",
            },
            "energy_consumed: is 540000 kWh in 100 s (19,440,000 kW), more than a machine draws",
        ),
        ({"duration": "0"}, "is 0.15 kWh in 0 s (no time at all), more than a machine draws"),
        ({"pue": "0.5"}, "pue: a PUE is 1 or more (got 0.5)"),
    ],
)
def test_figures_that_contradict_one_another_are_refused(
    tmp_path: Path, changes: dict[str, str], says: str
) -> None:
    with pytest.raises(DataError) as caught:
        read_codecarbon(line(tmp_path, **changes))
    assert says in str(caught.value)


def test_emissions_of_0_are_no_grams(tmp_path: Path) -> None:
    (energy,) = read_codecarbon(line(tmp_path, emissions="0")).run.energy
    assert energy.energy_kwh == pytest.approx(0.15)
    assert energy.co2e_g is None and energy.intensity is None
    assert "its emissions are 0, which no electricity has: no grams" in str(energy.note)
