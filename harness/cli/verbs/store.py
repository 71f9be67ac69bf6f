"""`steelyard store`: look after a workspace."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from steelyard.harness.cli.endings import say
from steelyard.harness.cli.options import DEFAULT_WORKSPACE, Workspace
from steelyard.harness.cli.store_option import StoreCommand
from steelyard.harness.errors import StoreError
from steelyard.harness.files import console, terminal_safe
from steelyard.harness.store import FolderStore, copy_runs, is_there, is_url, open_store
from steelyard.reports import words

app = typer.Typer(
    help="Look after a workspace: check, rebuild, gc, copy.",
    no_args_is_help=True,
    add_completion=False,
)


@app.command("check", cls=StoreCommand)
def check(workspace: Workspace = DEFAULT_WORKSPACE) -> None:
    """Read every run, checkpoint and stage; one line for each damage, and exit 2 if there is any.

    Example: `steelyard store check --workspace .steelyard`
    """
    store = _store(workspace)
    with _working("reading runs and checkpoints"):
        damage = store.upkeep.check()
    for line in damage:
        typer.echo(terminal_safe(line))
    if damage:
        say(f"error: {len(damage)} damaged; run the experiment again", "red")
        raise typer.Exit(2)
    typer.echo(f"{store.name}: {len(store.runs.summaries())} runs, no damage")


@app.command("rebuild", cls=StoreCommand)
def rebuild(workspace: Workspace = DEFAULT_WORKSPACE) -> None:
    """Make the index anew from the run folders, which are the truth.

    Example: `steelyard store rebuild`
    """
    store = _store(workspace)
    with _working("indexing"):
        count = store.upkeep.rebuild()
    typer.echo(f"{store.name}: {count} runs indexed")


@app.command("gc", cls=StoreCommand)
def gc(
    workspace: Workspace = DEFAULT_WORKSPACE,
    delete: Annotated[
        bool, typer.Option("--delete", help="Remove it; without this it is only listed.")
    ] = False,
) -> None:
    """List, or with --delete remove, what no run and no stage refers to.

    Example: `steelyard store gc --delete`
    """
    items = _store(workspace).upkeep.gc(dry_run=not delete)
    for item in items:
        typer.echo(f"{words.bytes_(item.size_bytes):>8}  {item.path}  ({item.why})")
    total = words.bytes_(sum(item.size_bytes for item in items))
    state = "removed" if delete else "can be removed with --delete"
    typer.echo(f"{len(items)} items, {total} {state}" if items else "nothing to remove")


@app.command("copy", cls=StoreCommand)
def copy(
    target: Annotated[
        str,
        typer.Argument(help="The workspace to copy to, made if missing; or a store's address."),
    ],
    runs: Annotated[
        list[str] | None,
        typer.Argument(help="Id prefix or `experiment/candidate`; every run where none is named."),
    ] = None,
    weights: Annotated[
        bool, typer.Option("--weights/--no-weights", help="Copy the checkpoints too.")
    ] = True,
    workspace: Workspace = DEFAULT_WORKSPACE,
) -> None:
    """Copy runs with their rows, samples and checkpoints; what is there already is left alone.

    Example: `steelyard store copy /shared/steelyard microworld-demo/lora`
    """
    source = _store(workspace)
    shared = is_url(target)
    to = open_store(
        workspace if shared else Path(target), url=target if shared else "", exact=not shared
    )
    if to.root.resolve() == source.root.resolve():
        raise StoreError("a workspace cannot be copied onto itself", file=to.name)
    with _working("copying") as say:
        done = copy_runs(source, to, runs or (), weights=weights, each=say)
    typer.echo(f"{to.name}: {done.runs} runs and {done.checkpoints} checkpoints copied")


def _store(workspace: Path) -> FolderStore:
    if not is_there(workspace):
        raise StoreError("no such workspace", file=workspace, fix="name one with --workspace")
    return open_store(workspace)


@contextmanager
def _working(what: str) -> Iterator[Callable[[str], None]]:
    """A spinner on a terminal; yields what to call with the name of the thing at hand."""
    if not sys.stderr.isatty():
        yield lambda name: None
        return

    with console(error=True).status(what) as status:
        yield lambda name: status.update(terminal_safe(f"{what} {name}"))
