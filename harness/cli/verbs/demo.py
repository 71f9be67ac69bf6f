"""`steelyard demo`: the whole loop on the microworld."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from steelyard.harness.cli.documents import show
from steelyard.harness.cli.options import Format, OutputFormat, Seed
from steelyard.harness.cli.reading import read_experiment
from steelyard.harness.cli.verbs.leaderboard import leaderboard
from steelyard.harness.cli.verbs.run import run_watched
from steelyard.harness.errors import EXIT_UNEXPECTED, EXIT_USAGE
from steelyard.tasks.microworld.demo import write_files

app = typer.Typer(add_completion=False)


@app.command()
def demo(
    folder: Annotated[
        Path, typer.Argument(help="Where to write the experiment file, its data and the workspace.")
    ] = Path("steelyard-demo"),
    seed: Seed = None,
    files_only: Annotated[
        bool, typer.Option("--files-only", help="Write the experiment and its data; run nothing.")
    ] = False,
    format: OutputFormat = Format.terminal,
) -> None:
    """Tune the embedded microworld seven ways, score, compare, gate, report. No network, no GPU.

    Writes an experiment file with its data, runs it, and ends with a report and a leaderboard. It
    exits 0 when the loop completed, whatever its verdicts. Run it again to resume.

    Example: `steelyard demo` then open `steelyard-demo/report/report.html`
    """
    file = write_files(folder)
    if files_only:
        typer.echo(f"steelyard run {file} --workspace {folder / '.steelyard'}")
        return
    experiment = read_experiment(file, seed=seed)
    workspace = folder / ".steelyard"
    conclusion = run_watched(
        experiment,
        workspace=workspace,
        output=folder / "report",
        commands=[f"steelyard demo {folder}", f"steelyard run {file} --workspace {workspace}"],
    )
    show(conclusion.document, format.value)
    if format is Format.terminal:
        typer.echo(f"\nreport       {conclusion.files['html']}")
        leaderboard(output=folder / "leaderboard", workspaces=[workspace], suite=None)
    if conclusion.exit_code in (EXIT_USAGE, EXIT_UNEXPECTED):
        raise typer.Exit(conclusion.exit_code)
