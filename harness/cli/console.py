"""How progress looks in a terminal: a bar with loss and time left, plain lines elsewhere."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer
import yaml
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from steelyard.harness.files import console, one_line, terminal_safe
from steelyard.harness.pipeline import Event, Listener

VERBS = {
    "open": "open",
    "build": "build",
    "plan": "plan",
    "train": "train",
    "score": "score",
    "compare": "compare",
    "report": "report",
}
MARKS = {
    "start": "·",
    "done": "✓",
    "reused": "=",
    "failed": "✗",
    "skipped": "-",
    "again": "↻",
    "waiting": "…",
}
WORDS = {
    "reused": "already done",
    "failed": "FAILED",
    "skipped": "skipped",
    "again": "again",
    "waiting": "waiting",
}


def print_yaml(*documents: object) -> None:
    """Print JSON values as YAML, texts of several lines as they are, harmless in a terminal."""

    class Dumper(yaml.SafeDumper):
        """Texts of several lines stand in blocks."""

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
        style = "|" if "\n" in value else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    shown = [json.loads(json.dumps(document, default=str)) for document in documents]
    for line in yaml.dump_all(
        shown, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100
    ).splitlines():
        typer.echo(terminal_safe(line))


@contextmanager
def watching(quiet: bool = False) -> Iterator[Listener]:
    """A listener that draws; bars only where standard error is a terminal."""
    if quiet:
        yield lambda event: None
    elif sys.stderr.isatty():
        with _bars() as progress:
            yield _Bars(progress).show
    else:
        yield _echo_event


def _echo_event(event: Event) -> None:
    if event.status == "progress":
        return
    typer.echo(_event_line(event), err=True)


def _event_line(event: Event) -> str:
    word = WORDS.get(event.status, "")
    detail = ": ".join(part for part in (word, event.message) if part)
    line = f"{MARKS.get(event.status, ' ')} {VERBS[event.stage]:<7} {event.candidate:<14} {detail}"
    return terminal_safe(line.rstrip())


def _bars() -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[detail]}", markup=False),
        console=console(error=True),
        transient=True,
    )


class _Bars:
    """One bar at a time, for the stage that runs; a finished stage leaves a line."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.task: TaskID | None = None

    def show(self, event: Event) -> None:
        if event.status in ("start", "progress"):
            if self.task is None or event.status == "start":
                self._clear()
                name = terminal_safe(f"{VERBS[event.stage]} {event.candidate}")
                self.task = self.progress.add_task(name, total=None, detail="")
            self.progress.update(
                self.task, completed=event.done, total=event.total, detail=one_line(event.message)
            )
        else:
            self._clear()
            self.progress.console.print(_event_line(event), markup=False, highlight=False)

    def _clear(self) -> None:
        if self.task is not None:
            self.progress.remove_task(self.task)
            self.task = None
