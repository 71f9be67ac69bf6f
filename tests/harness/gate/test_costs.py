from __future__ import annotations

import pytest

from steelyard.harness.gate import judge, load_gate
from steelyard.harness.records import Energy, EnergyComponent, Environment
from tests.harness.scored_runs import rows, scored, zero_one

BASE = zero_one(200, 0.7)


def energy(kwh, grade="measured", seconds=600.0, phase="score", ram=0.0):
    parts = [EnergyComponent(name="gpu", energy_kwh=kwh - ram, grade=grade, method="nvml")]
    if ram:
        parts.append(EnergyComponent(name="ram", energy_kwh=ram, grade="estimated", method="20 W"))
    return Energy(
        phase=phase,
        seconds=seconds,
        energy_kwh=kwh,
        grade=grade,
        components=tuple(parts),
        co2e_g=kwh * 50,
    )


def run(name, *used, **fields):
    return scored(name, [rows("known", "acc", BASE)], energy=used, **fields)


def result(baseline, candidate, rule):
    gate = load_gate({"rules": [{"task": "known", "margin": 0.05}, rule], "draws": 1000})
    (verdict,) = judge(gate, baseline, [candidate])
    return verdict, verdict.rules[-1]


@pytest.mark.parametrize("metric", ["energy_kwh", "co2e_g"])
@pytest.mark.parametrize(("kwh", "code"), [(1.1, 0), (1.3, 1)])
def test_measured_energy_is_judged_by_its_ratio(metric, kwh, code):
    rule = {"metric": metric, "max_ratio": 1.2}
    verdict, found = result(run("base", energy(1.0)), run("new", energy(kwh)), rule)
    assert verdict.exit_code == code
    assert f"x{kwh:g} of the baseline, at most x1.2" in found.why


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (energy(1.0), energy(3.0, grade="estimated"), "only 0% of the candidate's energy"),
        (energy(1.0, ram=0.5), energy(3.0), "only 50% of the baseline's energy"),
        (energy(1.0, seconds=3.0), energy(3.0), "too short"),
    ],
)
def test_energy_that_was_not_measured_warns_and_does_not_judge(before, after, words):
    rule = {"metric": "energy_kwh", "max_ratio": 1.2}
    verdict, found = result(run("base", before), run("new", after), rule)
    assert verdict.exit_code == 0
    assert (found.tier, found.verdict) == ("warn", "inconclusive")
    assert words in found.why and "WARNING" in found.why
    assert "1 warned" in verdict.summary


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (energy(1.0), energy(3.0, grade="estimated")),
        (energy(1.0, seconds=3.0), energy(3.0)),
        (energy(1.0), None),
    ],
    ids=["estimated", "short", "none"],
)
def test_a_cost_that_must_not_be_missing_fails_where_it_cannot_be_judged(before, after):
    rule = {"metric": "energy_kwh", "max_ratio": 1.2, "on_missing": "fail"}
    used = () if after is None else (after,)
    verdict, found = result(run("base", before), run("new", *used), rule)
    assert (verdict.exit_code, found.verdict, found.tier) == (1, "fail", "block")
    assert "on_missing: fail" in found.why


def test_energy_of_another_machine_is_not_held_against_this_one():
    other = Environment(python="3.11", platform="linux", cpu="another cpu")
    new = run("new", energy(3.0), environment=other)
    verdict, found = result(
        run("base", energy(1.0)), new, {"metric": "energy_kwh", "max_ratio": 1.2}
    )
    assert verdict.exit_code == 0 and "different hardware" in found.why


def test_no_energy_at_all_warns():
    rule = {"metric": "energy_kwh", "max_ratio": 1.2}
    verdict, found = result(run("base"), run("new"), rule)
    assert verdict.exit_code == 0 and "unavailable" in found.why


@pytest.mark.parametrize(("size", "code"), [(1100, 0), (1300, 1)])
def test_size_is_exact_and_needs_no_meter(size, code):
    rule = {"metric": "size_bytes", "max_ratio": 1.2}
    verdict, _ = result(run("base"), run("new", checkpoint={"size_bytes": size}), rule)
    assert verdict.exit_code == code


def test_a_figure_that_is_missing_is_not_comparable():
    verdict, found = result(run("base"), run("new"), {"metric": "parameters", "max_ratio": 1.2})
    assert verdict.exit_code == 3 and "no figure" in found.why


def test_phases_are_kept_apart():
    base = run("base", energy(1.0), energy(5.0, phase="train"))
    new = run("new", energy(1.0), energy(50.0, phase="train"))
    for phase, code in (("score", 0), ("train", 1), ("total", 1)):
        rule = {"metric": "energy_kwh", "max_ratio": 1.2, "phase": phase}
        assert result(base, new, rule)[0].exit_code == code, phase
