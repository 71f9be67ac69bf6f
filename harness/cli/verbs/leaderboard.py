"""`steelyard leaderboard`: a static site over every run of one or more workspaces."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from steelyard.harness.cli.options import DEFAULT_WORKSPACE, Format, OutputFormat
from steelyard.harness.cli.store_option import StoreCommand
from steelyard.harness.errors import NoCurrentRunError, StoreError, UnknownNameError
from steelyard.harness.files import terminal_safe
from steelyard.harness.files.old_names import workspace_at
from steelyard.harness.store import open_store
from steelyard.reports.site.build import write_leaderboard

app = typer.Typer(add_completion=False)


@app.command(cls=StoreCommand)
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
    head_to_head: Annotated[
        int,
        typer.Option(
            "--head-to-head", min=2, help="Models on a suite's head-to-head page, the newest."
        ),
    ] = 12,
    format: OutputFormat = Format.terminal,
) -> None:
    """Build a leaderboard site; runs whose intervals overlap share a rank.

    Run it again after a new run: only the pages that change are written.

    Example: `steelyard leaderboard -o site/ -w team-a/.steelyard -w team-b/.steelyard`
    """
    places = [workspace_at(place) for place in workspaces or [DEFAULT_WORKSPACE]]
    where = {"suite": suite} if suite else {}
    stores = {}
    runs = []
    current: set[str] = set()
    for store in map(open_store, places):
        ids, lacking = store.current.ranked()
        current |= ids
        for line in lacking:
            typer.secho(terminal_safe(f"left out: {line}"), fg="yellow", err=True)
        for summary in store.runs.summaries(**where):
            try:
                run = store.runs.verified(summary.id)
            except StoreError as error:
                typer.secho(terminal_safe(f"left out: {error}"), fg="yellow", err=True)
                continue
            runs.append(run)
            stores[run.id] = store
    if not runs:
        shown = ", ".join(str(place) for place in places)
        raise UnknownNameError(f"no runs in {shown}", fix="make some with `steelyard demo`")
    named = {(run.experiment, run.candidate) for run in runs if run.id in current}
    if not named:
        raise NoCurrentRunError("no candidate has a current run", fix="run their experiments again")
    done = write_leaderboard(
        [run for run in runs if (run.experiment, run.candidate) in named],
        output,
        lambda id: stores[id].rows(id),
        current=current,
        limit=head_to_head,
    )
    if format is Format.json:
        content = {
            "page": str(output / "index.html"),
            "written": done.written,
            "kept": len(done.unchanged),
            "removed": done.removed,
        }
        typer.echo(json.dumps(content, indent=1))
        return
    typer.echo(f"leaderboard  {output / 'index.html'}")
    changed = f"{len(done.written)} files written, {len(done.unchanged)} unchanged"
    typer.echo(changed + (f", {len(done.removed)} removed" if done.removed else ""))
