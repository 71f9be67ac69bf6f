"""What every meter promises, whatever it measures with."""

from __future__ import annotations

import pytest

from steelyard.harness.energy import EnergyConfig, open_meter
from steelyard.harness.plugins.names import plugin_names
from steelyard.harness.plugins.protocols import Meter, Reading
from steelyard.harness.records import Energy
from tests.guide_package import PLUGINS


@pytest.fixture(params=[*plugin_names("meters"), PLUGINS["meters"]])
def meter(request: pytest.FixtureRequest) -> Meter:
    meter = open_meter(EnergyConfig(meter=request.param, country="FRA"))
    request.addfinalizer(meter.close)
    return meter


def test_a_window_gives_a_record_of_its_phase(meter: Meter) -> None:
    assert isinstance(meter, Meter)
    with meter.window("train lora") as reading:
        assert isinstance(reading, Reading)
    for phase in ("train", "score", "inherited"):
        record = reading.energy(phase)
        assert record.phase == phase
        assert Energy.model_validate_json(record.model_dump_json()) == record


def test_energy_is_missing_exactly_where_it_is_unavailable(meter: Meter) -> None:
    with meter.window("score lora") as reading:
        pass
    record = reading.energy("score")
    assert (record.energy_kwh is None) == (record.grade == "unavailable")
    assert (record.co2e_g is None) == (record.energy_kwh is None)
    if record.energy_kwh is not None:
        parts = [part.energy_kwh for part in record.components]
        assert record.energy_kwh == pytest.approx(sum(p for p in parts if p is not None))
        assert None not in parts
    for part in record.components:
        assert (part.energy_kwh is None) == (part.grade == "unavailable")
        assert part.method


def test_an_exception_passes_and_the_reading_stays_readable(meter: Meter) -> None:
    with pytest.raises(ZeroDivisionError), meter.window("x") as reading:
        raise ZeroDivisionError
    record = reading.energy("train")
    assert record.seconds >= 0
    if record.energy_kwh is not None:
        assert record.note is not None
        assert "interrupted by ZeroDivisionError" in record.note


def test_without_a_place_there_are_no_grams(meter: Meter) -> None:
    placeless = type(meter)(EnergyConfig())  # type: ignore[call-arg]
    with placeless.window("x") as reading:
        pass
    assert reading.energy("train").co2e_g is None


def test_closing_twice_is_fine(meter: Meter) -> None:
    meter.close()
    meter.close()
