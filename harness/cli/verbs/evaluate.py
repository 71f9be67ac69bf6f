"""`steelyard eval`: score one checkpoint on a suite."""

from __future__ import annotations

from typing import Annotated

import typer

from steelyard.harness.cli.attempts import failure_recorded
from steelyard.harness.cli.documents import leave, show
from steelyard.harness.cli.experiments import evaluation, run_name
from steelyard.harness.cli.options import (
    DEFAULT_WORKSPACE,
    Format,
    Limit,
    OutputFormat,
    ParityOption,
    Seed,
    Workspace,
)
from steelyard.harness.cli.store_option import StoreCommand
from steelyard.harness.cli.verbs.run import run_watched

app = typer.Typer(add_completion=False)


@app.command("eval", cls=StoreCommand)
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
    parity: ParityOption = None,
    seed: Seed = None,
    country: Annotated[
        str | None, typer.Option("--country", help="ISO 3166 alpha-3, for grams of CO2e.")
    ] = None,
    format: OutputFormat = Format.terminal,
) -> None:
    """Score one checkpoint on a suite and keep the run.

    Example: `steelyard eval microworld --suite microworld --limit 20`
    """
    with failure_recorded(workspace, name=name or run_name(model)):
        experiment = evaluation(
            model,
            suite.split(",") if "," in suite else suite,
            workspace=workspace,
            name=name,
            limit=limit,
            seed=seed,
            country=country,
            parity=parity,
        )
    conclusion = run_watched(
        experiment,
        workspace=workspace,
        commands=[f"steelyard eval {model} --suite {suite}"],
    )
    show(conclusion.document, format.value)
    leave(conclusion.exit_code)
