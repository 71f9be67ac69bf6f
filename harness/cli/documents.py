"""A report on its way out: rendered, printed for a person or a machine, written as files."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from steelyard.harness.errors import EXIT_PASS
from steelyard.harness.files.atomic import write_atomic
from steelyard.harness.pipeline.events import Event, Listener
from steelyard.harness.plugins.names import load_plugin
from steelyard.reports.document import Document

NARROWEST_SCREEN, WIDEST_SCREEN = 80, 160

FILE_NAMES = {
    "html": "report.html",
    "markdown": "report.md",
    "json": "report.json",
    "csv": "report.csv",
    "junit": "junit.xml",
    "terminal": "report.txt",
}


def render(document: Document, format_name: str) -> str:
    """The document in one of the registered formats."""
    return str(load_plugin("renderers", format_name)().render(document))


def write_documents(
    document: Document, formats: Sequence[str], folder: Path, listener: Listener
) -> dict[str, Path]:
    """Each format as a file in ``folder``; a reader never sees half a page."""
    files = {}
    folder.mkdir(parents=True, exist_ok=True)
    for name in formats:
        path = folder / FILE_NAMES.get(name, f"report.{name}")
        write_atomic(path, render(document, name))
        files[name] = path
        listener(Event("report", name, "done", str(path)))
    return files


def for_screen(document: Document, format_name: str) -> str:
    """The document as it is printed: a terminal's own width, 120 where nobody says."""
    if format_name != "terminal":
        return render(document, format_name)
    columns = shutil.get_terminal_size((120, 24)).columns
    width = min(max(columns, NARROWEST_SCREEN), WIDEST_SCREEN)
    return str(load_plugin("renderers", format_name)(width=width).render(document))


def show(document: Document, format_name: str) -> None:
    """Print the document for a person or a machine."""
    text = for_screen(document, format_name)
    sys.stdout.write(text if text.endswith("\n") else text + "\n")


def leave(code: int) -> None:
    """Exit with a documented code; 0 returns."""
    if code != EXIT_PASS:
        raise typer.Exit(code)
