"""`steelyard report`: the page of an experiment that is in the store, without running anything."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from steelyard.harness.cli.conclude import Page, decide_and_report
from steelyard.harness.cli.console import watching
from steelyard.harness.cli.documents import leave, load_renderer
from steelyard.harness.cli.experiments import current_runs
from steelyard.harness.cli.options import DEFAULT_WORKSPACE, Workspace
from steelyard.harness.cli.store_option import StoreCommand
from steelyard.harness.gate import load_gate
from steelyard.harness.store import open_store

app = typer.Typer(add_completion=False)


@app.command(cls=StoreCommand)
def report(
    experiment: Annotated[str, typer.Argument(help="An experiment's name, as `list runs` shows.")],
    workspace: Workspace = DEFAULT_WORKSPACE,
    baseline: Annotated[
        str, typer.Option("--baseline", "-b", help="A candidate, a run or a baseline file.")
    ] = "base",
    policy: Annotated[
        Path | None, typer.Option("--policy", "-p", help="Hold these rules too.")
    ] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", "-f", help="One of `steelyard list renderers`; repeatable."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the files.")
    ] = None,
) -> None:
    """Render the comparison report of an experiment's current runs.

    A candidate that has none now, since its last run failed, say, is named, and the exit code is 3.

    Example: `steelyard report microworld-demo --format html --format csv -o report/`
    """
    for name in formats or ():
        load_renderer(name)  # a misspelt one is told before anything is read
    store = open_store(workspace)
    base, others, lacking = current_runs(store, experiment, baseline)
    page = Page(
        title=experiment,
        folder=output or workspace / "reports" / experiment,
        formats=formats or ["html"],
        commands=[f"steelyard report {experiment}"],
        lacking=lacking,
    )
    with watching() as listener:
        gate = load_gate(policy) if policy else None
        conclusion = decide_and_report(
            base,
            others,
            page,
            listener,
            gate=gate,
            policy=policy,
            attempts=store.current.gated,
        )
    for path in conclusion.files.values():
        typer.echo(str(path))
    leave(conclusion.exit_code)
