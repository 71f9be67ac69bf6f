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
    NotComparableError,
    UnknownNameError,
    did_you_mean,
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
    """Hold every release of a recipe against the first; exit 1 where the newest fell.

    Run it after each release: the false-alarm budget is for all of them together, however many
    there will be.

    Example: `steelyard watch support-bot/lora --budget 0.05`
    """
    if not 0 < budget < 1:
        raise ConfigError("lies between 0 and 1", key="--budget", value=budget, fix="try 0.05")
    store = open_store(workspace)
    experiment, _, name = candidate.partition("/")
    summaries = list(store.runs.summaries(experiment=experiment, candidate=name))
    if not summaries:
        names = dict.fromkeys(summary.name for summary in store.runs.summaries())
        raise UnknownNameError(f"no run of '{candidate}'", fix=did_you_mean(candidate, list(names)))
    if baseline is None:
        suite = summaries[-1].suite  # what is watched now; runs of another suite tell nothing of it
        whole = [each.id for each in summaries if each.complete and each.suite == suite]
        if not whole:
            fix = "finish one, or choose a --baseline"
            raise NotComparableError(f"no run of '{candidate}' on '{suite}' is complete", fix=fix)
        baseline = whole[0]
    first = open_run(store, baseline)
    of_suite = [each.id for each in summaries if each.suite == first.run.suite]
    if not of_suite:
        other = ", ".join(sorted({each.suite for each in summaries}))
        raise NotComparableError(
            f"no run of '{candidate}' is on the baseline's '{first.run.suite}', but on {other}",
            fix="choose a --baseline of that suite",
        )
    runs = [open_run(store, id) for id in of_suite]
    with watching():
        releases = releases_against(first, runs, budget)
    code = EXIT_PASS
    if releases and releases[-1].problems:
        code = EXIT_NOT_COMPARABLE
    elif releases and releases[-1].fell:
        code = EXIT_REGRESSION
    show(releases_document(candidate, first, releases, budget).ended(code), format.value)
    leave(code)
