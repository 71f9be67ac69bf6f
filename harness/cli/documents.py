"""A report on its way out: rendered, printed for a person or a machine, written as files."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from steelyard.harness.errors import EXIT_PASS
from steelyard.harness.files import write_atomic
from steelyard.harness.pipeline import Event, Listener
from steelyard.harness.plugins import load_plugin, require_verbs
from steelyard.reports.document import Document, Renderer

NARROWEST_SCREEN, WIDEST_SCREEN = 80, 160

FILE_NAMES = {
    "html": "report.html",
    "markdown": "report.md",
    "json": "report.json",
    "csv": "report.csv",
    "junit": "junit.xml",
    "terminal": "report.txt",
}


def load_renderer(name: str, **options: object) -> Renderer:
    """The renderer registered as ``name``.

    Raises as :func:`load_plugin`, and ``ConfigError`` where what is registered is no renderer.
    """
    renderer: Renderer = load_plugin("renderers", name)(**options)
    require_verbs("renderers", name, renderer, "suffix", "render")
    return renderer


def render(document: Document, format_name: str) -> str:
    """The document in one of the registered formats."""
    return load_renderer(format_name).render(document)


def write_documents(
    document: Document, formats: Sequence[str], folder: Path, listener: Listener
) -> dict[str, Path]:
    """Each format as a file in ``folder``; a reader never sees half a page."""
    files = {}
    if formats:  # a comparison that is only shown needs no place to write to
        folder.mkdir(parents=True, exist_ok=True)
    for name in formats:
        renderer = load_renderer(name)
        path = folder / FILE_NAMES.get(name, f"report.{name}{renderer.suffix}")
        write_atomic(path, renderer.render(document))
        files[name] = path
        listener(Event("report", name, "done", str(path)))
    return files


def for_screen(document: Document, format_name: str) -> str:
    """The document as it is printed: a terminal's own width, 120 where nobody says."""
    if format_name != "terminal":
        return render(document, format_name)
    columns = shutil.get_terminal_size((120, 24)).columns
    width = min(max(columns, NARROWEST_SCREEN), WIDEST_SCREEN)
    return load_renderer(format_name, width=width).render(document)


def show(document: Document, format_name: str) -> None:
    """Print the document for a person or a machine."""
    text = for_screen(document, format_name)
    sys.stdout.write(text if text.endswith("\n") else text + "\n")


def leave(code: int) -> None:
    """Exit with a documented code; 0 returns."""
    if code != EXIT_PASS:
        raise typer.Exit(code)
