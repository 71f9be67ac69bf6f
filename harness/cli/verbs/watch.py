"""`steelyard watch`: whether a recipe has drifted over its releases."""

from __future__ import annotations

from typing import Annotated

import typer

from steelyard.harness.cli.console import watching
from steelyard.harness.cli.documents import leave, show
from steelyard.harness.cli.options import DEFAULT_WORKSPACE, Format, OutputFormat, Workspace
from steelyard.harness.cli.store_option import StoreCommand
from steelyard.harness.compare import open_run, releases_against
from steelyard.harness.errors import (
    EXIT_NOT_COMPARABLE,
    EXIT_PASS,
    EXIT_REGRESSION,
    ConfigError,
    UnknownNameError,
    did_you_mean,
    exit_code_of,
)
from steelyard.harness.store import open_store
from steelyard.reports.sections.releases import releases_document

app = typer.Typer(add_completion=False)


@app.command(cls=StoreCommand)
def watch(
    candidate: Annotated[
        str, typer.Argument(help="`experiment/candidate`: every run of it is a release.")
    ],
    workspace: Workspace = DEFAULT_WORKSPACE,
    baseline: Annotated[
        str | None,
        typer.Option("--baseline", "-b", help="A run or a baseline file; default: the oldest run."),
    ] = None,
    budget: Annotated[
        float,
        typer.Option(
            "--budget", help="The chance of any false alarm, over all releases there will be."
        ),
    ] = 0.05,
    format: OutputFormat = Format.terminal,
) -> None:
    """Hold every release of a recipe against the first; exit 1 where one fell.

    Run it after each release: the false-alarm budget is for all of them together, however many
    there will be.

    Example: `steelyard watch support-bot/lora --budget 0.05`
    """
    if not 0 < budget < 1:
        raise ConfigError("lies between 0 and 1", key="--budget", value=budget, fix="try 0.05")
    store = open_store(workspace)
    experiment, _, name = candidate.partition("/")
    where: dict[str, str | bool] = {"experiment": experiment, "candidate": name, "complete": True}
    ids = [summary.id for summary in store.runs.summaries(**where)]
    if not ids:
        names = dict.fromkeys(summary.name for summary in store.runs.summaries())
        fix = did_you_mean(candidate, list(names))
        raise UnknownNameError(f"no complete run of '{candidate}'", fix=fix)
    first = open_run(store, baseline or ids[0])
    runs = [open_run(store, id) for id in ids if id != first.run.id]
    with watching():
        releases = releases_against(first, runs, budget)
    codes = [EXIT_PASS]
    codes += [EXIT_REGRESSION for release in releases if release.fell]
    codes += [EXIT_NOT_COMPARABLE for release in releases if not release.comparison.comparable]
    code = exit_code_of(codes)
    show(releases_document(candidate, first, releases, budget).ended(code), format.value)
    leave(code)
