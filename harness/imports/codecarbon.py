"""codecarbon's ``emissions.csv`` as the energy of a run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from steelyard.harness.energy import total
from steelyard.harness.errors import Collected, DataError, located
from steelyard.harness.files import digest_json, records
from steelyard.harness.imports.emission_figures import require_sound
from steelyard.harness.imports.imported import (
    EXPERIMENT,
    UNKNOWN,
    Imported,
    Model,
    Source,
    imported_run,
    plain_name,
)
from steelyard.harness.imports.numbers import number
from steelyard.harness.imports.tracker_runs import (
    Record,
    TrackerRun,
    require_apart,
    tracker_runs,
)
from steelyard.harness.records import CarbonIntensity, Energy, EnergyComponent, Environment, Run

Phase = Literal["train", "score"]
_REQUIRED = ("run_id", "duration", "emissions", "energy_consumed")
#: Characters of an id in an error, where they tell the trackers apart.
_SHOWN = 8
_NAMES: tuple[Literal["cpu", "gpu", "ram"], ...] = ("cpu", "gpu", "ram")


def read_emissions(
    path: Path, *, project: str | None = None, run_id: str | None = None, every: bool = False
) -> tuple[tuple[TrackerRun, ...], Source]:
    """The tracker run that is meant; with ``every`` all that are.

    Raises ``DataError`` where none or several are meant, where runs whose sum is asked for ran at
    once, and for each figure that is missing.
    """
    with located(file=path):
        trackers = _meant(list(records(path)), project, run_id, every=every)
        problems = Collected()
        for name in _REQUIRED[1:]:
            for tracker in trackers:
                value = number(tracker.total.get(name))
                if value is None or value < 0:
                    shown = tracker.total.get(name)
                    problems.errors.append(DataError("is no figure", value=shown, key=name))
        problems.raise_any()
        for tracker in trackers:
            with problems.of():
                require_sound(tracker.total)
        problems.raise_any()
    version = trackers[0].total.get("codecarbon_version")
    return trackers, Source("codecarbon", (path,), str(version) if version else None)


def _meant(
    table: Sequence[tuple[str, Record]], project: str | None, run_id: str | None, *, every: bool
) -> tuple[TrackerRun, ...]:
    if not table:
        raise DataError("the file has no rows")
    lacking = [name for name in _REQUIRED if name not in table[0][1]]
    if lacking:
        raise DataError(f"is no emissions.csv of codecarbon: no column '{lacking[0]}'")
    trackers = tracker_runs(table)
    meant = [
        tracker
        for tracker in trackers
        if project in (None, tracker.total.get("project_name"))
        and (run_id is None or tracker.id.startswith(run_id))
    ]
    if not meant or (len(meant) > 1 and not every):
        shown = ", ".join(f"{name} ({t.project})" for name, t in _short_names(trackers[:8]))
        fix = f"name one with --run-id or --project: {shown}"
        if not meant:
            raise DataError("no such tracker run", fix=fix)
        what = f"{len(meant)} of its tracker runs are meant"
        if any(tracker.nameless for tracker in meant):
            what += ", some without a run_id (these go by when they started)"
        raise DataError(what, fix=f"{fix}; or take their sum with --sum")
    require_apart(meant)
    return tuple(meant)


def _short_names(trackers: Sequence[TrackerRun]) -> list[tuple[str, TrackerRun]]:
    """Each tracker with as much of its id as tells it apart; a moment stands whole."""
    lengths = range(_SHOWN, 1 + max(len(tracker.id) for tracker in trackers))
    unlike = (n for n in lengths if len({t.id[:n] for t in trackers}) == len(trackers))
    length = next(unlike, None)
    return [(t.id if t.nameless else t.id[:length], t) for t in trackers]


def energies_of(trackers: Sequence[TrackerRun], source: Source, phase: Phase) -> Energy:
    """The energy of one tracker run, or the sum of several."""
    energies = [energy_of(tracker.total, source, phase) for tracker in trackers]
    if len(energies) == 1:
        return energies[0]
    summed = total(energies, phase=phase)
    return summed.model_copy(update={"note": f"{summed.note}; {len(energies)} tracker runs"})


def energy_of(record: Record, source: Source, phase: Phase) -> Energy:
    """codecarbon's own figures, marked as estimated: the file does not say how each was known.

    codecarbon multiplies every energy by its PUE before it writes it; a record here holds the
    device's energy and the PUE beside it, so it is taken out again.
    """
    pue = number(record.get("pue")) or 1.0
    used, kilograms = number(record["energy_consumed"]), number(record["emissions"])
    grams = None if kilograms is None else kilograms * 1000
    place = str(record.get("country_iso_code") or "").strip()
    intensity = None
    if used and grams is not None and place:
        origin = f"{source.tool} {source.version or ''}".strip()
        intensity = CarbonIntensity(g_per_kwh=grams / used, region=place, source=origin)
    note = f"imported from {source.title}"
    if not place:
        grams, note = None, f"{note}; no country, so no grams"
    elif grams == 0 and used:
        grams, intensity = None, None
        note = f"{note}; its emissions are 0, which no electricity has: no grams"
    return Energy(
        phase=phase,
        seconds=number(record["duration"]) or 0.0,
        energy_kwh=None if used is None else used / pue,
        grade="estimated",
        components=_emission_components(record, pue),
        co2e_g=grams,
        intensity=intensity,
        pue=pue,
        meter="codecarbon",
        note=note,
    )


def _emission_components(record: Record, pue: float) -> tuple[EnergyComponent, ...]:
    """Those that used anything; a machine without a GPU has no component of it."""
    components = []
    for name in _NAMES:
        used = number(record.get(f"{name}_energy"))
        if used is not None and used > 0:
            part = EnergyComponent(
                name=name, energy_kwh=used / pue, grade="estimated", method="codecarbon, imported"
            )
            components.append(part)
    return tuple(components)


def read_codecarbon(
    path: Path,
    *,
    phase: Phase = "train",
    name: str | None = None,
    experiment: str = EXPERIMENT,
    project: str | None = None,
    run_id: str | None = None,
    every: bool = False,
) -> Imported:
    """A run of its own that holds energy and no score; ``every``: of all its tracker runs."""
    trackers, source = read_emissions(path, project=project, run_id=run_id, every=every)
    record = trackers[-1].total
    called = str(record.get("project_name") or path.stem)
    run = imported_run(
        source,
        candidate=name or plain_name(called),
        experiment=experiment,
        suite="codecarbon",
        model=Model(called),
        scores=(),
        signatures=(),
        created_at=_emission_time(record),
        energy=[energies_of(trackers, source, phase)],
        options={"phase": phase, "run_id": [tracker.id for tracker in trackers]},
    )
    return Imported(run.model_copy(update={"environment": _environment(record)}))


def with_emissions(
    run: Run,
    path: Path,
    *,
    phase: Phase = "train",
    project: str | None = None,
    run_id: str | None = None,
    every: bool = False,
) -> Run:
    """``run`` with the energy of ``phase`` taken from ``path``: another run, the newer one.

    Raises ``DataError`` where the run has metered that phase itself.
    """
    trackers, source = read_emissions(path, project=project, run_id=run_id, every=every)
    if any(e.phase == phase and e.energy_kwh is not None for e in run.energy):
        what = f"'{run.experiment}/{run.candidate}' has energy of its {phase} phase already"
        raise DataError(what, file=path, fix="choose another --phase")
    energy = energies_of(trackers, source, phase)
    others = [e for e in run.energy if e.phase != phase]
    bare = run.environment.cpu is None and not run.environment.gpus
    return run.model_copy(
        update={
            "id": digest_json([run.id, energy.model_dump(mode="json")])[:32],
            "energy": (*others, energy),
            "environment": _environment(trackers[-1].total) if bare else run.environment,
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
    )


def _environment(record: Record) -> Environment:
    """The machine that codecarbon saw."""
    memory = number(record.get("ram_total_size"))
    cores = number(record.get("cpu_count"))
    gpu = str(record.get("gpu_model") or "").strip()
    return Environment(
        python=str(record.get("python_version") or UNKNOWN),
        platform=str(record.get("os") or UNKNOWN),
        cpu=str(record.get("cpu_model") or "").strip() or None,
        cores=None if cores is None else int(cores),
        memory_bytes=None if memory is None else int(memory * 1e9),
        gpus=(gpu,) if gpu else (),
    )


def _emission_time(record: Record) -> str | None:
    try:
        return datetime.fromisoformat(str(record.get("timestamp"))).isoformat(timespec="seconds")
    except ValueError:
        return None
