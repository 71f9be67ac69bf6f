"""Rules on what a run cost: energy, carbon, seconds, size. One number a run, so no interval.

Energy and carbon are judged only where enough of the energy was measured: a modelled figure
(20 W of RAM, a CPU by its load) follows its constants, not the candidate. Only like is held
against like: the same phase, on the same hardware.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from steelyard.harness.energy import known_seconds
from steelyard.harness.gate.findings import Finding
from steelyard.harness.gate.policy import Gate, Rule
from steelyard.harness.records import Energy, RuleVerdict, Run

#: A tracker starts in about 3 s and samples every 2 s: shorter windows measure the tracker.
MIN_SECONDS = 20.0
#: Costs of the scoring itself, known only when all of it is done.
TIMED = ("energy_kwh", "co2e_g", "seconds")
_UNITS = {
    "energy_kwh": "kWh",
    "co2e_g": "g CO2e",
    "seconds": "s",
    "size_bytes": "bytes",
    "peak_memory_bytes": "bytes",
    "parameters": "parameters",
}


@dataclass(frozen=True)
class _Cost:
    value: float | None
    measured_share: float
    seconds: float | None


def judge_cost(rule: Rule, gate: Gate, baseline: Run, candidate: Run) -> Finding:
    """Hold one cost of the candidate against the baseline's, or against a ceiling."""
    assert rule.metric is not None
    before, after = (_run_cost(run, rule) for run in (baseline, candidate))
    problem = _unfit(rule, gate, baseline, candidate, before, after)
    if problem is not None and rule.on_missing == "fail":
        why = f"{_where(rule)}: {problem}, so it cannot be judged (on_missing: fail): FAIL"
        return _finding(rule, "fail", why, False)
    if problem is not None:
        return _finding(
            rule, "inconclusive", f"{_where(rule)}: {problem}: WARNING, not judged", True
        )
    if after.value is None or (rule.max_ratio is not None and not before.value):
        side = "candidate" if after.value is None else "baseline"
        verdict: RuleVerdict = "fail" if rule.on_missing == "fail" else "not_comparable"
        outcome = verdict.replace("_", " ").upper()
        return _finding(
            rule, verdict, f"{_where(rule)}: the {side} has no figure: {outcome}", False
        )
    failed, parts = False, []
    if rule.max_ratio is not None and before.value:
        ratio = after.value / before.value
        failed |= ratio > rule.max_ratio
        parts.append(f"x{ratio:.3g} of the baseline, at most x{rule.max_ratio:g}")
    if rule.max is not None:
        failed |= after.value > rule.max
        parts.append(f"at most {_figure(rule.max, _UNITS[rule.metric])}")
    figure = _figure(after.value, _UNITS[rule.metric])
    verdict = "fail" if failed else "pass"
    why = f"{_where(rule)}: {figure}, {' and '.join(parts)} (one figure a run): {verdict.upper()}"
    return _finding(rule, verdict, why, False)


def _rounded_down(share: float) -> str:
    """A share in per cent: 79.97% must not be said to miss 80% as 80%."""
    return f"{math.floor(share * 1000) / 10:g}%"


def _figure(value: float, unit: str) -> str:
    """``1.03 MB``, ``0.0021 kWh``: three digits in the unit that people read."""
    if unit == "bytes" and value >= 1e6:
        scale, name = (1e9, "GB") if value >= 1e9 else (1e6, "MB")
        return f"{value / scale:.3g} {name}"
    return f"{value:,.0f} {unit}" if value >= 1000 else f"{value:.3g} {unit}"


def _where(rule: Rule) -> str:
    assert rule.metric is not None
    return f"{rule.metric} ({rule.phase})" if rule.metric in TIMED else rule.metric


def _finding(rule: Rule, verdict: RuleVerdict, why: str, advisory: bool) -> Finding:
    return Finding(
        rule=rule,
        label=rule.label,
        verdict=verdict,
        why=why,
        claim="benchmark",
        metric=rule.metric,
        advisory=advisory,
    )


def _unfit(
    rule: Rule, gate: Gate, baseline: Run, candidate: Run, before: _Cost, after: _Cost
) -> str | None:
    """Why a timed cost carries no verdict; None where it does."""
    if rule.metric not in TIMED:
        return None
    compared = [("candidate", after)]
    if rule.max_ratio is not None:
        compared.append(("baseline", before))
        if _hardware(baseline) != _hardware(candidate):
            return "the runs were made on different hardware"
    for side, cost in compared:
        if cost.seconds is not None and cost.seconds < MIN_SECONDS:
            return (
                f"the {side}'s {cost.seconds:.1f} s are too short to tell (from {MIN_SECONDS:g} s)"
            )
        if rule.metric == "seconds":
            continue
        if cost.value is None:
            return f"the {side}'s figure is unavailable"
        if cost.measured_share < gate.measured_share:
            return (
                f"only {_rounded_down(cost.measured_share)} of the {side}'s energy was measured, "
                f"{gate.measured_share:.0%} are needed; the rest is estimated"
            )
    return None


def _hardware(run: Run) -> tuple[object, ...]:
    return (run.environment.cpu, run.environment.cores, run.environment.gpus)


def _run_cost(run: Run, rule: Rule) -> _Cost:
    assert rule.metric is not None
    if rule.metric not in TIMED:
        value = getattr(run.checkpoint, rule.metric)
        return _Cost(None if value is None else float(value), 1.0, None)
    phases = [e for e in _energies(run) if rule.phase in ("total", e.phase)]
    if not phases:
        return _Cost(None, 0.0, None)
    values = [getattr(energy, rule.metric) for energy in phases]
    whole = None if any(value is None for value in values) else float(sum(values))
    return _Cost(whole, _measured_share(phases), known_seconds(phases))


def _energies(run: Run) -> tuple[Energy, ...]:
    trained = run.checkpoint.energy
    # A run may carry its checkpoint's own training energy beside the manifest's copy.
    held = any(energy.phase == "train" for energy in run.energy)
    return run.energy if held or trained is None else (trained, *run.energy)


def _measured_share(phases: list[Energy]) -> float:
    total = measured = 0.0
    for energy in phases:
        parts = [(c.energy_kwh, c.grade) for c in energy.components]
        for kwh, grade in parts or [(energy.energy_kwh, energy.grade)]:
            total += kwh or 0.0
            measured += (kwh or 0.0) if grade == "measured" else 0.0
    return measured / total if total > 0 else 0.0
