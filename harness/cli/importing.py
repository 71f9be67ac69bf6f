"""`assay import`: other tools' results as runs that compare, gate, report and leaderboard read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from harness.cli.options import DEFAULT_WORKSPACE, Format, Workspace

if TYPE_CHECKING:
    from harness.imports import Imported

app = typer.Typer(help="Other tools' results as runs.", no_args_is_help=True)

Experiment = Annotated[
    str, typer.Option("--experiment", "-e", help="Runs are called `experiment/candidate`.")
]
Name = Annotated[
    str | None, typer.Option("--name", "-n", help="The candidate's name; default from the file.")
]
Printed = Annotated[Format, typer.Option("--format", "-f", help="`json` where a machine reads it.")]
Cluster = Annotated[
    str | None,
    typer.Option("--cluster", help="Items that share this field are not independent."),
]
Slices = Annotated[
    list[str] | None,
    typer.Option("--slice", help="Field by which results are shown apart; repeatable."),
]


@app.callback()
def group() -> None:
    """Other tools' results as runs, marked as imported."""


@app.command("lm-eval")
def lm_eval(
    paths: Annotated[
        list[Path], typer.Argument(help="lm-eval's output folders, or results files.")
    ],
    name: Name = None,
    experiment: Experiment = "imported",
    cluster: Cluster = None,
    slices: Slices = None,
    workspace: Workspace = DEFAULT_WORKSPACE,
    format: Printed = Format.terminal,
) -> None:
    """Import lm-eval results; with their samples beside them they can be gated.

    Example: `assay import lm-eval out/base --name base && assay import lm-eval out/new --name new`

    `samples_TASK_*.jsonl` (lm-eval's --log_samples) pair by content. Results without samples, and
    the old format, are shown and not gated.
    """
    from harness.imports.lm_eval import read_lm_eval

    found = read_lm_eval(
        paths, name=name, experiment=experiment, cluster=cluster, slices=slices or ()
    )
    _keep(found, workspace, format)


def _keep(found: Iterable[Imported], workspace: Path, format: Format) -> None:
    """Put runs into the store, all of them read before the first is written."""
    from harness.imports import store_imported
    from harness.store import open_store

    imports = list(found)
    store = open_store(workspace)
    lines = []
    for imported in imports:
        is_new = store_imported(store, imported)
        lines.append(_line(imported, is_new))
    if format is Format.json:
        import json

        typer.echo(json.dumps(lines, indent=1))
        return
    for line in lines:
        typer.echo(_words(line))
    for remark in dict.fromkeys(remark for line in lines for remark in line["remarks"]):
        typer.secho(_safe(f"note: {remark}"), fg="yellow", err=True)


def _line(imported: Imported, is_new: bool) -> dict[str, Any]:
    run = imported.run
    gated = {rows.task for rows in imported.rows}
    return {
        "run": f"{run.experiment}/{run.candidate}",
        "id": run.id,
        "imported_from": run.imported_from,
        "tasks": len({score.task for score in run.scores}),
        "tasks_with_rows": len(gated),
        "samples": len({(r.task, id) for r in imported.rows for id in r.sample_ids}),
        "new": is_new,
        "remarks": list(imported.remarks),
    }


def _words(line: dict[str, Any]) -> str:
    rows = f"{line['tasks_with_rows']} with rows of {line['samples']} samples"
    state = "" if line["new"] else " (already there)"
    return _safe(f"{line['run']}  {line['id'][:12]}  {line['tasks']} tasks, {rows}{state}")


def _safe(text: str) -> str:
    from harness.hostile import one_line

    return one_line(text, 400)
