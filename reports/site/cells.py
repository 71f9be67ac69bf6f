"""Standings -> cells and columns that several pages share."""

from __future__ import annotations

from functools import lru_cache

from steelyard.harness.records import Run
from steelyard.reports.cells import metric_column, score_number, size_number
from steelyard.reports.document import Column, Number, Page, Range, Text
from steelyard.reports.material import MetricKey
from steelyard.reports.site.names import INDEX, head_to_head_path, model_name, model_path
from steelyard.reports.site.standings import Entry, Placed, Standings, training_number
from steelyard.reports.words import base_title

#: Tags of a row that a reader may filter by, and those with a from ... to.
FILTERS = ("suite", "trainer", "base", "experiment")
RANGES = (
    Range(name="size", kind="number", unit="MB", scale=1e6),
    Range(name="date", kind="date"),
)


@lru_cache(maxsize=20_000)
def entry_cell(entry: Entry, up: str | None, badges: tuple[str, ...] = ()) -> Text:
    """The heading of an entry's row."""
    return run_cell(entry.run, up=up, badges=badges)


def run_cell(run: Run, *, up: str | None, badges: tuple[str, ...] = ()) -> Text:
    """The heading of a run's row; ``up`` leads to the site's folder (None: a single page)."""
    return Text(
        text=model_name(run),
        note=marks(run),
        link=None if up is None else up + model_path(run),
        badges=badges,
    )


def marks(run: Run) -> str | None:
    """What a reader must know before any number: imported, incomplete."""
    marks_of_run = [f"imported from {run.imported_from}"] if run.imported_from else []
    marks_of_run += [] if run.complete else ["incomplete"]
    return "; ".join(marks_of_run) or None


def score_cell(placed: Placed, *, ranked: bool = False) -> Number:
    """The score with its interval, normalised too; with its rank below where ``ranked``."""
    rank = placed.words if ranked else ""
    run, score = placed.entry.run, placed.score
    return score_number(run, score, normalised=placed.normalised, first=rank)


def metric_heading(key: MetricKey, standings: Standings, link: str | None = None) -> Column:
    """A metric's column: without its n, which differs from run to run."""
    column = metric_column(key, with_count=False)
    suites = standings.suites_of[key.task, key.metric]
    return column.model_copy(update={"suites": suites, "link": link, "scores": True})


COST_COLUMNS = (
    Column(title="Trainer"),
    Column(title="Training energy", detail="parents included", numeric=True),
    Column(title="Size", detail="on disk", numeric=True),
    Column(title="Date", one_line=True),
)


@lru_cache(maxsize=10_000)  # the same on the page of every task
def cost_cells(entry: Entry) -> tuple[Text, Number, Number, Text]:
    """How the model was trained, what that cost, and when it was scored."""
    run = entry.run
    trainer = Text(text=run.checkpoint.trainer)
    return trainer, training_number(entry), size_number(run), Text(text=run.created_at[:10])


@lru_cache(maxsize=10_000)
def tags(entry: Entry) -> tuple[str, ...]:
    """What filters read of a run."""
    run = entry.run
    size = run.checkpoint.size_bytes
    return (
        f"experiment={run.experiment}",
        f"trainer={run.checkpoint.trainer}",
        f"base={base_title(run.checkpoint.base)}",
        f"suite={run.suite}",
        f"date={run.created_at[:10]}",
        *(() if size is None else (f"size={size}",)),
    )


def pages(standings: Standings, up: str) -> tuple[Page, ...]:
    """The site's main pages, as seen from a page whose folder is ``up`` below."""
    crumbs = [Page(title="Leaderboard", link=up + INDEX)]
    suites = list(standings.suites)
    for suite in suites:
        title = "Head to head" if len(suites) == 1 else f"Head to head: {suite}"
        crumbs.append(Page(title=title, link=up + head_to_head_path(suite)))
    return tuple(crumbs)
