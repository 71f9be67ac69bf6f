"""`steelyard list`: what there is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from steelyard.harness.cli.options import DEFAULT_WORKSPACE, Format, OutputFormat, Workspace
from steelyard.harness.cli.store_option import StoreCommand
from steelyard.harness.errors import ConfigError
from steelyard.harness.files import console, terminal_safe
from steelyard.harness.plugins import Plugin, load_plugin, plugin_names
from steelyard.harness.store import is_there, open_store
from steelyard.harness.suites import list_suites, load_suite, task_files, task_summary

app = typer.Typer(add_completion=False)

Row = dict[str, str | int | bool]
"""Column -> cell."""


class Thing(StrEnum):
    """What can be listed."""

    trainers = "trainers"
    tasks = "tasks"
    suites = "suites"
    metrics = "metrics"
    renderers = "renderers"
    executors = "executors"
    meters = "meters"
    runs = "runs"


@app.command("list", cls=StoreCommand)
def list_things(
    what: Annotated[Thing, typer.Argument(help="What to list.")],
    workspace: Workspace = DEFAULT_WORKSPACE,
    include: Annotated[
        list[Path] | None,
        typer.Option("--include", help="Of tasks: a folder with further task files; repeatable."),
    ] = None,
    format: OutputFormat = Format.terminal,
) -> None:
    """List trainers, tasks, suites, metrics, renderers, executors, meters or runs.

    Example: `steelyard list trainers`
    """
    rows = _run_rows(workspace) if what is Thing.runs else _rows_of(what, include or ())
    if format is Format.json:
        typer.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        typer.echo(f"no {what.value} in {workspace}; make some with `steelyard demo`", err=True)
        return
    table = Table(box=None, pad_edge=False)
    for column in rows[0]:
        table.add_column(column)
    for row in rows:
        table.add_row(*(terminal_safe(str(cell)) for cell in row.values()))
    console().print(table)


def _suite_row(name: str) -> Row:
    suite = load_suite(name, folder=Path())
    extras = [word for word in ("fidelity", "cost") if getattr(suite, word) is not None]
    return {
        "suite": name,
        "tasks": len(suite.tasks),
        "and": ", ".join(extras),
        "measures": suite.description or "",
    }


def _rows_of(what: Thing, include: Sequence[Path]) -> list[Row]:
    if what is Thing.suites:
        return [_suite_row(name) for name in list_suites()]
    if what is Thing.tasks:
        folders = [str(folder) for folder in include]
        return [
            {"task": name, **task_summary(p)} for name, p in sorted(task_files(folders).items())
        ]
    return [_plugin_row(what, name) for name in plugin_names(what.value)]


def _plugin_row(what: Thing, name: str) -> Row:
    """What a plugin does; of one that another package brings and that does not load, why."""
    row: Row = {what.value.removesuffix("s"): name}
    try:
        plugin = load_plugin(what.value, name)
    except ConfigError as error:
        fields = {"kind": "", "better": ""} if what is Thing.metrics else {}
        return row | fields | {"does": error.message}
    return row | _metric_fields(plugin) | {"does": _first_doc_line(plugin)}


def _metric_fields(plugin: type[Plugin]) -> dict[str, str]:
    """Of a metric: which test belongs to its rows, and which way is better."""
    kind = getattr(plugin, "kind", None)
    if kind is None:
        return {}
    field = plugin.model_fields.get("higher_is_better")
    higher = True if field is None else field.default
    return {"kind": kind, "better": "higher" if higher else "lower"}


def _first_doc_line(thing: object) -> str:
    return ((thing.__doc__ or "").strip().splitlines() or [""])[0]


def _run_rows(workspace: Path) -> list[Row]:
    if not is_there(workspace):
        return []
    return [
        {
            "id": run.id[:12],
            "run": run.name,
            "suite": run.suite,
            "complete": run.complete,
            "created_at": run.created_at,
        }
        for run in open_store(workspace).runs.summaries()
    ]
