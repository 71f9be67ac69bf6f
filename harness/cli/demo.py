"""`assay demo`: the whole loop on the microworld."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import Format, OutputFormat, Seed


def demo(
    folder: Annotated[
        Path, typer.Argument(help="Where to write the experiment file, its data and the workspace.")
    ] = Path("assay-demo"),
    seed: Seed = None,
    files_only: Annotated[
        bool, typer.Option("--files-only", help="Write the experiment and its data; run nothing.")
    ] = False,
    format: OutputFormat = Format.terminal,
) -> None:
    """Tune the embedded microworld seven ways, score, compare, gate, report. No network, no GPU.

    Writes an experiment file with its data, runs it, and ends with a report and a leaderboard. It
    exits 0 when the loop completed, whatever its verdicts. Run it again to resume.

    Example: `assay demo` then open `assay-demo/report/report.html`
    """
    from harness.cli.conclude import show
    from harness.cli.leaderboard import leaderboard
    from harness.cli.run import run_experiment
    from harness.errors import EXIT_USAGE
    from harness.experiment import load_experiment
    from tasks.microworld.demo import write_files

    file = write_files(folder)
    if files_only:
        typer.echo(f"assay run {file} --workspace {folder / '.assay'}")
        return
    experiment = load_experiment(file, seed=seed)
    workspace = folder / ".assay"
    conclusion = run_experiment(
        experiment,
        workspace=workspace,
        output=folder / "report",
        commands=[f"assay demo {folder}", f"assay run {file} --workspace {workspace}"],
    )
    show(conclusion.document, format.value)
    if format is Format.terminal:
        typer.echo(f"\nreport       {conclusion.files['html']}")
        leaderboard(output=folder / "leaderboard", workspaces=[workspace], suite=None)
    if conclusion.exit_code == EXIT_USAGE:
        raise typer.Exit(EXIT_USAGE)
