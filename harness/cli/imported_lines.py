"""Imported runs put into a workspace, and what is said of each: a line, or JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TypedDict

import typer

from steelyard.harness.cli.endings import say
from steelyard.harness.cli.options import Format
from steelyard.harness.files import one_line
from steelyard.harness.imports import Imported, store_imported
from steelyard.harness.store import open_store


class ImportedRun(TypedDict):
    """What is said of one imported run, to a person or as JSON."""

    run: str
    id: str
    imported_from: str | None
    tasks: int
    tasks_with_rows: int
    samples: int
    energy_kwh: float | None
    new: bool
    remarks: list[str]


def store_imports(
    imports: Iterable[Imported],
    workspace: Path,
    format: Format,
    in_place_of: str | None = None,
) -> None:
    """Put runs into the store, all of them read before the first is written."""
    every = list(imports)
    store = open_store(workspace)
    lines = []
    for imported in every:
        is_new = store_imported(store, imported, in_place_of=in_place_of)
        lines.append(_imported_run(imported, is_new))
    if format is Format.json:
        typer.echo(json.dumps(lines, indent=1))
        return
    for line in lines:
        typer.echo(_in_words(line))
    for remark in dict.fromkeys(remark for line in lines for remark in line["remarks"]):
        say(_safe(f"note: {remark}"), "yellow")


def _imported_run(imported: Imported, is_new: bool) -> ImportedRun:
    run = imported.run
    gated = {rows.task for rows in imported.rows}
    used = [energy.energy_kwh for energy in run.energy if energy.energy_kwh is not None]
    return {
        "run": f"{run.experiment}/{run.candidate}",
        "id": run.id,
        "imported_from": run.imported_from,
        "tasks": len({score.task for score in run.scores}),
        "tasks_with_rows": len(gated),
        "samples": len({(r.task, id) for r in imported.rows for id in r.sample_ids}),
        "energy_kwh": sum(used) if used else None,
        "new": is_new,
        "remarks": list(imported.remarks),
    }


def _in_words(line: ImportedRun) -> str:
    rows = f"{line['tasks_with_rows']} with rows of {line['samples']} samples"
    if line["energy_kwh"] is not None:
        rows += f", {line['energy_kwh']:.3g} kWh"
    state = "" if line["new"] else " (already there)"
    return _safe(f"{line['run']}  {line['id'][:12]}  {line['tasks']} tasks, {rows}{state}")


def _safe(text: str) -> str:
    return one_line(text, 400)
