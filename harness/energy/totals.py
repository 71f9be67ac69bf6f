"""How energy records add up: phases, parents, and when one model pays for itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from steelyard.harness.energy.reading import weakest
from steelyard.harness.records import CheckpointManifest, Energy, EnergyComponent

if TYPE_CHECKING:
    from steelyard.harness.energy.config import Phase


def total(energies: Sequence[Energy], *, phase: Phase | None = None) -> Energy:
    """The sum of several records.

    A part without energy makes the sum unavailable, and the note says what is known at least:
    the sum of what happened to be measured would pass for the whole. The grade is the weakest.

    Args:
        energies: at least one.
        phase: of the sum; by default the phase of the first.

    Raises:
        ValueError: ``energies`` is empty.
    """
    if not energies:
        raise ValueError("nothing to sum")
    kwh = [e.energy_kwh for e in energies if e.energy_kwh is not None]
    grams = [e.co2e_g for e in energies]
    places = {e.intensity for e in energies}
    notes = list(dict.fromkeys(e.note for e in energies if e.note))
    if kwh and len(kwh) < len(energies):
        lacking = ", ".join(dict.fromkeys(e.phase for e in energies if e.energy_kwh is None))
        notes.append(f"at least {sum(kwh):.3g} kWh; no energy of: {lacking}")
    complete = len(kwh) == len(energies)
    embodied = [e.embodied_co2e_g for e in energies]
    sources = list(dict.fromkeys(e.embodied_source for e in energies if e.embodied_source))
    return Energy(
        phase=phase or energies[0].phase,
        seconds=known_seconds(energies),
        energy_kwh=sum(kwh) if complete else None,
        grade=weakest([e.grade for e in energies]),
        components=_components(energies) if complete else (),
        co2e_g=None if None in grams else sum(g for g in grams if g is not None),
        intensity=places.pop() if len(places) == 1 else None,
        pue=_common([e.pue for e in energies]),
        embodied_co2e_g=None if None in embodied else sum(g for g in embodied if g is not None),
        embodied_source="; ".join(sources) or None,
        meter=" + ".join(dict.fromkeys(e.meter for e in energies)),
        too_short=any(e.too_short for e in energies),
        note="; ".join(notes) or None,
    )


def known_seconds(energies: Iterable[Energy]) -> float | None:
    """How long all of them took; None where one of them does not say."""
    seconds = [energy.seconds for energy in energies]
    return None if None in seconds else sum(each for each in seconds if each is not None)


def duration(energy: Energy) -> str:
    """How long a phase took, for a line of progress."""
    return "time unknown" if energy.seconds is None else f"{energy.seconds:.1f} s"


def trained_elsewhere() -> Energy:
    """The training of a checkpoint that was taken in: nobody here saw what it used.

    Copying its files used something, which is not what its training used.
    """
    return Energy(
        phase="train",
        seconds=None,
        energy_kwh=None,
        grade="unavailable",
        note="trained elsewhere: what that used is not known here",
    )


def _components(energies: Sequence[Energy]) -> tuple[EnergyComponent, ...]:
    """Component by component; a machine without a GPU adds nothing to the sum of GPUs."""
    summed = []
    for name in ("cpu", "gpu", "ram"):
        parts = [c for e in energies for c in e.components if c.name == name]
        if parts:
            summed.append(
                EnergyComponent(
                    name=parts[0].name,
                    energy_kwh=sum(part.energy_kwh or 0.0 for part in parts),
                    grade=weakest([part.grade for part in parts]),
                    method=" + ".join(dict.fromkeys(part.method for part in parts)),
                )
            )
    return tuple(summed)


def _common(values: Sequence[float]) -> float:
    """The one PUE of several records; 1.0 (and grams that hold the truth) where they differ."""
    return values[0] if len(set(values)) == 1 else 1.0


def inherited(ancestors: Iterable[CheckpointManifest]) -> Energy | None:
    """What training a checkpoint's ancestors used, each charged once however often it is named.

    The base was trained by others and has no record: it is not charged. None where no ancestor
    was trained here.
    """
    trained = {m.digest: m.energy for m in ancestors if m.energy is not None}
    if not trained:
        return None
    return total([e for e in trained.values() if e is not None], phase="inherited")


@dataclass(frozen=True)
class ServingCost:
    """What a model costs before its first query, and with each one; None is unknown."""

    training_kwh: float | None
    kwh_per_query: float | None


def break_even_queries(a: ServingCost, b: ServingCost) -> float | None:
    """The number of queries n at which both have used the same energy.

    ``a.training + n a.query = b.training + n b.query``. Below n the one with the cheaper training
    is ahead, above it the one with the cheaper query. None where a figure is unknown, or where one
    model is ahead from the first query on and stays so.
    """
    figures = (a.training_kwh, b.training_kwh, a.kwh_per_query, b.kwh_per_query)
    if any(figure is None for figure in figures):
        return None
    a_training, b_training, a_query, b_query = (float(f) for f in figures if f is not None)
    if a_query == b_query:
        return None
    queries = (b_training - a_training) / (a_query - b_query)
    return queries if queries >= 0 else None
