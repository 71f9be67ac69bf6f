"""`steelyard baseline save`: a run as one small file that a repository keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from steelyard.harness.cli.options import DEFAULT_WORKSPACE, Workspace
from steelyard.harness.cli.store_option import StoreCommand
from steelyard.harness.compare import baseline_file
from steelyard.harness.store import open_store

app = typer.Typer(help="A baseline as a file.", no_args_is_help=True, add_completion=False)


@app.callback()
def group() -> None:
    """A baseline as a file."""


@app.command("save", cls=StoreCommand)
def save(
    run: Annotated[str, typer.Argument(help="A run: id prefix or `experiment/candidate`.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write it.")] = Path(
        "baseline.steelyard.json.gz"
    ),
    text: Annotated[
        bool, typer.Option("--text/--no-text", help="Keep prompts and answers too.")
    ] = False,
    workspace: Workspace = DEFAULT_WORKSPACE,
) -> None:
    """Write a run's rows, hashes and signatures as one small file for the gate.

    Example: `steelyard baseline save microworld-demo/base -o baseline.steelyard.json.gz`
    """
    baseline_file.save(
        baseline_file.open_run(open_store(workspace), run), output, include_text=text
    )
    typer.echo(f"{output} ({output.stat().st_size / 1024:.0f} KiB)")
