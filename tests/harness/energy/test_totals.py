"""Sums of energy: components equal totals, missing parts show, parents are charged once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.harness.energy import EnergyConfig, ServingCost, break_even_queries, inherited, total
from steelyard.harness.energy.fake_meter import FakeMeter
from steelyard.harness.energy.no_meter import NoMeter
from steelyard.harness.records import CheckpointManifest, Digests, Energy

JOULES_PER_KWH = 3_600_000
FRANCE = EnergyConfig(meter="fake", country="FRA", pue=1.2)


def energy(cpu: float, ram: float, phase: str = "train", seconds: float = 1.0) -> Energy:
    meter = FakeMeter(FRANCE, joules={"cpu": cpu, "ram": ram}, seconds=seconds)
    with meter.window("w") as reading:
        pass
    return reading.energy(phase)


def unavailable() -> Energy:
    with NoMeter().window("w") as reading:
        pass
    return reading.energy("score")


def manifest(name: str, used: Energy | None) -> CheckpointManifest:
    return CheckpointManifest(
        digest=name,
        digests=Digests(weights=name, tokenizer="t"),
        format="full",
        candidate=name,
        base="microworld",
        trainer="full",
        size_bytes=1,
        energy=used,
        created_at="2026-01-01T00:00:00+00:00",
    )


joules = st.floats(0, 1e9)


@given(st.lists(st.tuples(joules, joules), min_size=1, max_size=6))
def test_the_sum_of_components_equals_the_total(parts: list[tuple[float, float]]) -> None:
    energies = [energy(cpu, ram) for cpu, ram in parts]
    for record in (*energies, total(energies)):
        components = sum(c.energy_kwh or 0.0 for c in record.components)
        assert record.energy_kwh == pytest.approx(components, rel=1e-12, abs=1e-300)
    summed = total(energies)
    expected = sum(cpu + ram for cpu, ram in parts) / JOULES_PER_KWH
    assert summed.energy_kwh == pytest.approx(expected, rel=1e-12, abs=1e-300)
    assert summed.co2e_g == pytest.approx(expected * 1.2 * 56.039, rel=1e-12, abs=1e-300)
    assert summed.seconds == len(parts)


def test_a_sum_that_lacks_a_part_is_unavailable_and_says_what_is_known() -> None:
    summed = total([energy(3_600_000, 0), unavailable()])
    assert (summed.energy_kwh, summed.co2e_g, summed.grade) == (None, None, "unavailable")
    assert summed.components == ()
    assert summed.note == "at least 1 kWh; no energy of: score"


def test_a_sum_is_as_good_as_its_weakest_part() -> None:
    guess = energy(1, 1).model_copy(update={"grade": "estimated"})
    assert total([energy(1, 1), guess]).grade == "estimated"
    assert total([energy(1, 1), energy(1, 1)]).grade == "measured"


def test_the_phase_of_a_sum_is_given_or_that_of_the_first() -> None:
    assert total([energy(1, 1), energy(1, 1, "score")]).phase == "train"
    assert total([energy(1, 1)], phase="inherited").phase == "inherited"


def test_embodied_grams_are_a_stated_assumption_beside_the_operational_ones() -> None:
    config = EnergyConfig(
        meter="fake", country="FRA", embodied_g_per_hour=33.0, embodied_source="GPU, 4 years"
    )
    with FakeMeter(config, joules={"cpu": 3_600_000}, seconds=1800).window("x") as reading:
        pass
    record = reading.energy("train")
    assert record.co2e_g == pytest.approx(56.039)
    assert record.embodied_co2e_g == pytest.approx(16.5)
    assert record.embodied_source == "33 g an hour: GPU, 4 years"
    both = total([record, record])
    assert both.embodied_co2e_g == pytest.approx(33.0)
    assert both.embodied_source == record.embodied_source


def test_nothing_has_no_sum() -> None:
    with pytest.raises(ValueError, match="nothing to sum"):
        total([])


def test_parents_are_charged_once_however_often_they_are_named() -> None:
    lora, dpo = manifest("lora", energy(3_600_000, 0)), manifest("dpo", energy(0, 7_200_000))
    charged = inherited([dpo, lora, manifest("base", None), lora])
    assert charged is not None
    assert charged.phase == "inherited"
    assert charged.energy_kwh == pytest.approx(3.0)


def test_a_base_that_others_trained_is_not_charged() -> None:
    assert inherited([manifest("base", None)]) is None
    assert inherited([]) is None


def test_break_even_is_where_both_have_used_the_same() -> None:
    distilled, big = ServingCost(10.0, 0.001), ServingCost(0.0, 0.003)
    queries = break_even_queries(distilled, big)
    assert queries == break_even_queries(big, distilled) == pytest.approx(5000)
    assert queries is not None
    assert 10.0 + queries * 0.001 == pytest.approx(queries * 0.003)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (ServingCost(10.0, 0.003), ServingCost(0.0, 0.001)),  # worse at both, for ever
        (ServingCost(10.0, 0.001), ServingCost(0.0, 0.001)),
        (ServingCost(None, 0.001), ServingCost(0.0, 0.002)),
        (ServingCost(1.0, 0.001), ServingCost(0.0, None)),
    ],
)
def test_where_nothing_breaks_even_there_is_no_number(a: ServingCost, b: ServingCost) -> None:
    assert break_even_queries(a, b) is None
