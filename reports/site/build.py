"""Runs -> the files of the site: which there are, and what each depends on."""

from __future__ import annotations

import gc
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import cache, lru_cache, partial
from importlib.util import find_spec
from pathlib import Path

from steelyard.harness import __version__
from steelyard.harness.files import file_digest
from steelyard.harness.records import Run
from steelyard.reports.document import Document, Renderer
from steelyard.reports.renderers.html import Html
from steelyard.reports.site import downloads
from steelyard.reports.site.head_to_head_page import contestants, head_to_head_document
from steelyard.reports.site.index_page import index_document
from steelyard.reports.site.items import RowsOf
from steelyard.reports.site.model_page import model_document
from steelyard.reports.site.names import INDEX, head_to_head_path, model_path, task_path
from steelyard.reports.site.standings import Standings
from steelyard.reports.site.task_page import task_document
from steelyard.reports.site.writing import File, Written, digest, write_site

#: Models on a head-to-head page; it grows with their square.
HEAD_TO_HEAD_MODELS = 12


def write_leaderboard(
    runs: Iterable[Run],
    folder: Path,
    rows_of: RowsOf,
    *,
    current: Collection[str] | None = None,
    limit: int = HEAD_TO_HEAD_MODELS,
) -> Written:
    """Write the site into ``folder``; what did not change since the last build is left as it is.

    The same runs give the same bytes. A new run rewrites the first page, its model's page, the
    pages of its tasks and of its suite, and the downloads.

    Args:
        runs: of one or more workspaces.
        folder: made where it is not there.
        rows_of: the rows of a run by its id, for paired ranks and the head-to-head pages.
        current: ids of the runs that are ranked; None takes the latest of each candidate.
        limit: models on each head-to-head page.

    Raises ``StoreError`` where the folder cannot be written.
    """
    with _uncollected():
        return _write_pages(Standings(runs, current, rows_of), folder, rows_of, limit)


def _write_pages(standings: Standings, folder: Path, rows_of: RowsOf, limit: int) -> Written:
    renderer: Renderer = Html()
    version = _site_version()
    everything = digest(version, _identities(standings.runs), sorted(standings.current))
    suites = sorted(standings.suites)

    def file(inputs: str, make: Callable[[], Document]) -> File:
        return File(inputs, lambda: renderer.render(make()))

    table = cache(partial(downloads.score_table, standings))
    files = {
        INDEX: file(everything, partial(index_document, standings, linked=True)),
        "leaderboard.json": File(everything, lambda: downloads.json_file(standings)),
        "leaderboard.csv": File(everything, lambda: downloads.csv_file(table())),
        "leaderboard.parquet": File(everything, lambda: downloads.parquet_file(table())),
    }
    for task in standings.tasks:
        pages = [
            (entry.run.id, entry.run.created_at, standings.size(entry))
            for entry in standings.entries
            if task in entry.tasks
        ]
        inputs = digest(version, "task", task, pages, suites)
        files[task_path(task)] = file(inputs, partial(task_document, standings, task))
    rated = find_spec("evalica") is not None
    for suite, entries in standings.suites.items():
        chosen = _identities([entry.run for entry in contestants(entries, limit)])
        inputs = digest(version, "suite", suite, chosen, len(entries), rated, suites)
        make = partial(head_to_head_document, standings, suite, rows_of, limit=limit)
        files[head_to_head_path(suite)] = file(inputs, make)
    for history in standings.models.values():
        current = [run.id for run in history if run.id in standings.current]
        inputs = digest(version, "model", _identities(history), current)
        make_model = partial(model_document, history, standings.current)
        files[model_path(history[-1])] = file(inputs, make_model)
    return write_site(folder, files)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the cycle collector: a million records, none of them in a cycle, are walked through
    again and again otherwise, which is a third of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _identities(runs: Iterable[Run]) -> list[tuple[str, str]]:
    """The same run scored again elsewhere has the same id and another date."""
    return [(run.id, run.created_at) for run in runs]


@lru_cache(maxsize=1)
def _site_version() -> str:
    """What every page depends on: Steelyard's version, and the sources that draw the pages."""
    root = Path(__file__).resolve().parents[1]
    sources = sorted(p for p in root.rglob("*") if p.suffix in (".py", ".j2", ".css", ".js"))
    return digest(__version__, [(str(p.relative_to(root)), file_digest(p)) for p in sources])
