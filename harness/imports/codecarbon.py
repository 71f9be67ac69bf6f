"""codecarbon's ``emissions.csv`` as the energy of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from steelyard.harness.errors import Collected, DataError, located
from steelyard.harness.files import digest_json, records
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
from steelyard.harness.records import CarbonIntensity, Energy, EnergyComponent, Environment, Run

Phase = Literal["train", "score"]
_REQUIRED = ("run_id", "duration", "emissions", "energy_consumed")
_NAMES: tuple[Literal["cpu", "gpu", "ram"], ...] = ("cpu", "gpu", "ram")
Record = Mapping[str, object]


def read_emissions(
    path: Path, *, project: str | None = None, run_id: str | None = None
) -> tuple[Record, Source]:
    """The one tracker run that is meant; of one that wrote several lines the last, its total.

    Raises ``DataError`` where none or several are meant, and for each figure that is missing.
    """
    with located(file=path):
        record = _tracker_run([record for _, record in records(path)], project, run_id)
        problems = Collected()
        for name in _REQUIRED[1:]:
            value = number(record.get(name))
            if value is None or value < 0:
                problems.errors.append(DataError("is no figure", value=record.get(name), key=name))
        problems.raise_any()
    version = record.get("codecarbon_version")
    return record, Source("codecarbon", (path,), str(version) if version else None)


def _tracker_run(table: Sequence[Record], project: str | None, run_id: str | None) -> Record:
    if not table:
        raise DataError("the file has no rows")
    lacking = [name for name in _REQUIRED if name not in table[0]]
    if lacking:
        raise DataError(f"is no emissions.csv of codecarbon: no column '{lacking[0]}'")
    runs = {
        str(record["run_id"]): record
        for record in table
        if project in (None, record.get("project_name"))
        and (run_id is None or str(record["run_id"]).startswith(run_id))
    }
    if len(runs) != 1:
        every = {str(r["run_id"])[:8]: str(r.get("project_name")) for r in table}
        shown = ", ".join(f"{id} ({name})" for id, name in list(every.items())[:8])
        what = f"{len(runs)} of its tracker runs are meant" if runs else "no such tracker run"
        fix = f"name one with --run-id or --project: {shown}"
        raise DataError(what, fix=fix)
    return next(iter(runs.values()))


def energy_of(record: Record, source: Source, phase: Phase) -> Energy:
    """codecarbon's own figures, marked as estimated: the file does not say how each was known."""
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
    return Energy(
        phase=phase,
        seconds=number(record["duration"]) or 0.0,
        energy_kwh=used,
        grade="estimated",
        components=_emission_components(record),
        co2e_g=grams,
        intensity=intensity,
        pue=number(record.get("pue")) or 1.0,
        meter="codecarbon",
        note=note,
    )


def _emission_components(record: Record) -> tuple[EnergyComponent, ...]:
    """Those that used anything; a machine without a GPU has no component of it."""
    components = []
    for name in _NAMES:
        used = number(record.get(f"{name}_energy"))
        if used is not None and used > 0:
            part = EnergyComponent(
                name=name, energy_kwh=used, grade="estimated", method="codecarbon, imported"
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
) -> Imported:
    """A run of its own that holds energy and no score."""
    record, source = read_emissions(path, project=project, run_id=run_id)
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
        energy=[energy_of(record, source, phase)],
        options={"phase": phase, "run_id": str(record["run_id"])},
    )
    return Imported(run.model_copy(update={"environment": _environment(record)}))


def with_emissions(
    run: Run,
    path: Path,
    *,
    phase: Phase = "train",
    project: str | None = None,
    run_id: str | None = None,
) -> Run:
    """``run`` with the energy of ``phase`` taken from ``path``: another run, the newer one.

    Raises ``DataError`` where the run has metered that phase itself.
    """
    record, source = read_emissions(path, project=project, run_id=run_id)
    if any(e.phase == phase and e.energy_kwh is not None for e in run.energy):
        what = f"'{run.experiment}/{run.candidate}' has energy of its {phase} phase already"
        raise DataError(what, file=path, fix="choose another --phase")
    energy = energy_of(record, source, phase)
    others = [e for e in run.energy if e.phase != phase]
    bare = run.environment.cpu is None and not run.environment.gpus
    return run.model_copy(
        update={
            "id": digest_json([run.id, energy.model_dump(mode="json")])[:32],
            "energy": (*others, energy),
            "environment": _environment(record) if bare else run.environment,
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
