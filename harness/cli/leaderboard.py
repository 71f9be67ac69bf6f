"""`assay leaderboard`: a page over every run of one or more workspaces."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import DEFAULT_WORKSPACE


def leaderboard(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the site.")] = Path(
        "site"
    ),
    workspaces: Annotated[
        list[Path] | None,
        typer.Option("--workspace", "-w", help="Where the runs are; repeatable."),
    ] = None,
    suite: Annotated[
        str | None, typer.Option("--suite", "-s", help="Only runs of this suite.")
    ] = None,
) -> None:
    """Build a leaderboard page; runs whose intervals overlap share a rank.

    Example: `assay leaderboard -o site/`
    """
    from harness.cli.conclude import render, write_text
    from harness.errors import UnknownNameError
    from harness.store import open_store
    from reports.build import build_leaderboard

    places = workspaces or [DEFAULT_WORKSPACE]
    where = {"suite": suite} if suite else {}
    runs = [run for place in places for run in open_store(place).find(**where)]
    if not runs:
        shown = ", ".join(str(place) for place in places)
        raise UnknownNameError(f"no runs in {shown}", fix="make some with `assay demo`")
    document = build_leaderboard(runs)
    for format_name, name in (("html", "index.html"), ("json", "leaderboard.json")):
        write_text(output / name, render(document, format_name))
        typer.echo(str(output / name))
