"""`steelyard train`: only the checkpoints."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from steelyard.harness.cli.attempts import attempting, failure_recorded
from steelyard.harness.cli.console import watching
from steelyard.harness.cli.options import (
    DEFAULT_WORKSPACE,
    Address,
    Base,
    Executor,
    Format,
    OutputFormat,
    RuntimeEnv,
    Seed,
    Workers,
    Workspace,
    open_executor,
)
from steelyard.harness.cli.session import session
from steelyard.harness.cli.store_option import StoreCommand
from steelyard.harness.errors import EXIT_UNEXPECTED, EXIT_USAGE
from steelyard.harness.experiment import load_experiment
from steelyard.harness.pipeline import Pipeline
from steelyard.harness.store import open_store

app = typer.Typer(add_completion=False)


@app.command(cls=StoreCommand)
def train(
    file: Annotated[Path, typer.Argument(help="An experiment file.", metavar="EXPERIMENT.yaml")],
    candidates: Annotated[
        list[str] | None, typer.Argument(help="Only these and their parents.", metavar="CANDIDATE")
    ] = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    base: Base = None,
    seed: Seed = None,
    executor: Executor = "inline",
    workers: Workers = None,
    address: Address = None,
    runtime_env: RuntimeEnv = None,
    format: OutputFormat = Format.terminal,
) -> None:
    """Train the candidates of an experiment and keep their checkpoints; nothing is scored.

    Example: `steelyard train experiment.yaml lora`
    """
    with failure_recorded(workspace, file):
        chosen = open_executor(executor, workers, address, runtime_env)
        experiment = load_experiment(file, base=base, seed=seed)
    store, only = open_store(workspace), candidates or ()
    with (
        attempting(store, experiment, only, scoring=False) as attempt,
        session(experiment, store) as meter,
        watching() as listener,
    ):
        pipeline = Pipeline(experiment, store, meter, listener, chosen, attempt)
        outcome = pipeline.train(only)
    if format is Format.json:
        typer.echo(
            json.dumps(
                {
                    "checkpoints": {
                        name: {
                            "folder": str(checkpoint.folder),
                            "manifest": checkpoint.manifest.model_dump(mode="json"),
                        }
                        for name, checkpoint in outcome.checkpoints.items()
                    },
                    "failures": [f.model_dump() for f in outcome.failures],
                },
                indent=2,
            )
        )
    else:
        for name, checkpoint in outcome.checkpoints.items():
            typer.echo(f"{name:<16} {checkpoint.manifest.digest[:12]}  {checkpoint.folder}")
    if outcome.failures:
        raise typer.Exit(EXIT_UNEXPECTED if outcome.unexpected else EXIT_USAGE)
