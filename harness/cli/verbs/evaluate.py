"""`steelyard eval`: score one checkpoint on a suite."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from steelyard.harness.cli.options import (
    DEFAULT_WORKSPACE,
    Format,
    Limit,
    OutputFormat,
    Seed,
    Workspace,
)


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            help="A model folder, GGUF file, hub id, `microworld`, a run or `experiment/candidate`."
        ),
    ],
    suite: Annotated[
        str, typer.Option("--suite", "-s", help="A suite by name or file, or task,task,...")
    ] = "smoke",
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the run; the model's own by default.")
    ] = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    limit: Limit = None,
    seed: Seed = None,
    country: Annotated[
        str | None, typer.Option("--country", help="ISO 3166 alpha-3, for grams of CO2e.")
    ] = None,
    format: OutputFormat = Format.terminal,
) -> None:
    """Score one checkpoint on a suite and keep the run.

    Example: `steelyard eval microworld --suite microworld --limit 20`
    """
    from steelyard.harness.cli.conclude import leave, show
    from steelyard.harness.cli.verbs.run import run_experiment
    from steelyard.harness.experiment.file import Experiment, ExperimentFile

    source = _checkpoint_folder(model, workspace)
    settings: dict[str, Any] = {
        "name": name or _slug(model),
        "base": source,
        "suite": suite.split(",") if "," in suite else suite,
        "limit": limit,
        "seed": seed or 0,
        "energy": {"country": country} if country else {},
    }
    experiment = Experiment(
        file=Path("eval.yaml"), settings=ExperimentFile(**settings), candidates=()
    )
    conclusion = run_experiment(
        experiment,
        workspace=workspace,
        commands=[f"steelyard eval {model} --suite {suite}"],
    )
    show(conclusion.document, format.value)
    leave(conclusion.exit_code)


def _checkpoint_folder(model: str, workspace: Path) -> str:
    """A run's checkpoint folder where ``model`` names a run of the workspace; else as it is."""
    from steelyard.harness.errors import SteelyardError
    from steelyard.harness.plugins.names import plugin_names
    from steelyard.harness.store import is_there, open_store

    if Path(model).exists() or model in plugin_names("bases") or not is_there(workspace):
        return model
    store = open_store(workspace)
    try:
        run = store.get(model)
    except SteelyardError:
        return model
    folder = store.checkpoint(run.checkpoint.digest)
    return str(folder) if folder else run.checkpoint.base


def _slug(model: str) -> str:
    name = Path(model).name if Path(model).exists() else model
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")[:64] or "model"
