"""`steelyard doctor`: what this machine can do, and what is missing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from steelyard.harness.checkpoints import open_base
from steelyard.harness.cli.options import Format, OutputFormat
from steelyard.harness.energy import EnergyConfig, open_meter
from steelyard.harness.environment import environment, libraries, versions
from steelyard.harness.files import terminal_safe
from steelyard.harness.scoring import open_model

app = typer.Typer(add_completion=False)

Findings = dict[str, str | int]
"""What was looked at -> what was seen."""


@app.command()
def doctor(
    model: Annotated[
        str | None, typer.Argument(help="Also open this model and say how it would be scored.")
    ] = None,
    format: OutputFormat = Format.terminal,
) -> None:
    """Say what this machine can do, how its energy would be known, and what is missing.

    Example: `steelyard doctor microworld`
    """
    findings: Findings = _machine() | _package_versions() | _energy_meters()
    if model is not None:
        findings |= _model(model)
    if format is Format.json:
        typer.echo(json.dumps(findings, indent=2))
    else:
        for name, finding in findings.items():
            typer.echo(f"{name:<22} {terminal_safe(str(finding))}")
    missing = [name for name in libraries("doctor") if findings.get(name) == "missing"]
    if missing:
        raise typer.Exit(2)


def _machine() -> Findings:
    here = environment()
    memory = f"{here.memory_bytes / 2**30:.0f} GiB" if here.memory_bytes else "unknown"
    return {
        "python": here.python,
        "platform": here.platform,
        "cpu": f"{here.cpu or 'unknown'}, {here.cores or '?'} cores",
        "memory": memory,
        "gpu": ", ".join(here.gpus) or "none: training and scoring run on the CPU",
        "disk free here": f"{shutil.disk_usage('.').free / 2**30:.0f} GiB",
    }


def _package_versions() -> Findings:
    installed = versions("doctor")
    return {name: installed.get(name, "missing") for name in libraries("doctor")}


def _energy_meters() -> Findings:
    meter = open_meter(EnergyConfig())
    try:
        with meter.window("doctor") as reading:
            pass
        energy = reading.energy("score")
    finally:
        meter.close()
    return {
        f"energy of {part.name}": f"{part.grade} ({part.method})" for part in energy.components
    } or {"energy": f"{energy.grade} ({energy.note or 'no meter'})"}


def _model(name: str) -> Findings:
    base = open_base(name, resolve=Path)
    lm = open_model(base.weights_folder, adapter=base.adapter_folder, gguf_file=base.gguf_file)
    manifest = base.manifest
    findings: Findings = {
        "model": f"{manifest.base} ({manifest.format}, {manifest.digest[:12]})",
        "parameters": manifest.parameters or (lm.model and lm.model.num_parameters()) or "unknown",
        "size": f"{(manifest.size_bytes or 0) / 1e6:.1f} MB",
        **({"stray files": "; ".join(manifest.notes)} if manifest.notes else {}),
        "generation defaults": lm.generation_defaults or "none",
        "scored by": ", ".join(f"{key} {value}" for key, value in lm.settings.items()),
    }
    return findings | _ladder(lm.scoring_record())


def _ladder(record: Mapping[str, Any]) -> Findings:
    """Each way of scoring that was tried on the model, and what a small tree said of it."""
    tried = record.get("canary", {}).get("tried", {})
    findings: Findings = {f"by {name}": verdict for name, verdict in tried.items()}
    return findings | {"tokens per batch": str(record.get("tokens_per_batch"))}
