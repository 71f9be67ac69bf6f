"""The first page: every run, every primary metric, who cannot be told apart."""

from __future__ import annotations

from collections.abc import Sequence

from steelyard.reports.cells import score_number
from steelyard.reports.document import (
    Block,
    Cell,
    Column,
    Document,
    Notice,
    Number,
    Row,
    Section,
    Table,
    Text,
)
from steelyard.reports.site.cells import (
    COST_COLUMNS,
    FILTERS,
    RANGES,
    cost_cells,
    metric_heading,
    pages,
    run_cell,
    score_cell,
    tags,
)
from steelyard.reports.site.names import head_to_head_path, task_path
from steelyard.reports.site.paired_ranks import MOST_RUNS
from steelyard.reports.site.standings import Entry, Standings
from steelyard.reports.words import base_title, metric_title, moment, task_title

#: Files beside the page, and what is in them.
DOWNLOADS = (
    ("leaderboard.json", "every score with its interval, rank set, settings and Pareto fronts"),
    ("leaderboard.csv", "the same, a line a score; safe to open in a spreadsheet"),
    ("leaderboard.parquet", "the same, for pandas, DuckDB or Spark"),
)


def index_document(
    standings: Standings, *, title: str = "Leaderboard", notes: Sequence[str] = (), linked: bool
) -> Document:
    """Runs x metrics with rank sets, energy, size and fronts; ``linked`` as part of a site."""
    entries = standings.entries
    primary = sum(key.primary for key in standings.keys)
    sections = [
        _standings_section(standings, notes, linked),
        *([_tasks_section(standings), _more_section(standings)] if linked else ()),
    ]
    experiments = {entry.run.experiment for entry in entries}
    newest = max(standings.runs, key=lambda run: run.made, default=None)
    return Document(
        kind="leaderboard",
        title=title,
        subtitle=counted(len(experiments), "experiment"),
        headline=f"{counted(len(entries), 'run')} on {counted(primary, 'primary metric')}.",
        facts=(
            ("Newest", "–" if newest is None else moment(newest.created_at)),
            ("Suites", str(len(standings.suites))),
            ("Earlier runs", str(len(standings.earlier))),
        ),
        sections=tuple(sections),
        pages=pages(standings, "") if linked else (),
        marker="steelyard-leaderboard",
    )


def counted(count: int, noun: str) -> str:
    """``1 run``, ``2,000 runs``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _standings_section(standings: Standings, notes: Sequence[str], linked: bool) -> Section:
    blocks: list[Block] = [Notice(level="note", text=note) for note in notes]
    imported = sum(entry.run.imported_from is not None for entry in standings.entries)
    if imported:
        text = f"{imported} of {counted(len(standings.entries), 'run')} are imported: their "
        text += "numbers were not made here, and they are ranked among themselves."
        blocks.append(Notice(level="note", text=text))
    blocks.append(_standings_table(standings, linked))
    if standings.earlier:
        blocks.append(_history_table(standings, linked))
    return Section(
        id="standings-section",
        title="Standings",
        short="Standings",
        lead=(
            "There is no overall score: sort by the metric that matters. A rank is a set wherever "
            "the intervals cannot separate, and runs that were asked something else (other "
            "few-shot examples, another limit or template) are ranked apart."
        ),
        blocks=tuple(blocks),
    )


def _standings_table(standings: Standings, linked: bool) -> Table:
    several = len(standings.suites) > 1
    columns = (
        Column(title="Run", detail="experiment / candidate"),
        *([Column(title="Suite")] if several else ()),
        Column(title="Base"),
        *(
            metric_heading(key, standings, task_path(key.task) if linked else None)
            for key in standings.keys
        ),
        Column(title="Pareto fronts", detail="tasks with the best for its cost", numeric=True),
        *COST_COLUMNS,
    )
    return Table(
        id="standings",
        caption="Standings",
        columns=columns,
        rows=tuple(_standing_row(standings, entry, several, linked) for entry in standings.entries),
        note=(
            f"Rank sets of at most {MOST_RUNS} runs that answered the same 0/1 items, where the "
            "rows are at hand, come from paired tests (exact McNemar, Holm over all pairs of the "
            "column, at .05 together). Others are read pairwise from the 95% intervals, which is "
            "cautious and not corrected for the number of runs. Normalised: 0 is the chance "
            "level, 1 is perfect; a metric that states no chance level has no normalised score. A "
            "run is on a Pareto front where no run that costs as little or less is better beyond "
            "the intervals; an adapter's size counts its base."
        ),
        filters=FILTERS,
        first=(("suite", next(iter(standings.suites))),) if several else (),
        ranges=RANGES,
        grouped=True,
    )


def _standing_row(standings: Standings, entry: Entry, several: bool, linked: bool) -> Row:
    run = entry.run
    placed = [standings.placed[key.task, key.metric].get(run.id) for key in standings.keys]
    cells: list[Cell] = [
        run_cell(run, up="" if linked else None),
        *([Text(text=run.suite)] if several else ()),
        Text(text=base_title(run.checkpoint.base)),
        *(Number(value=None) if p is None else score_cell(p, ranked=True) for p in placed),
        _fronts([front for p in placed if p is not None for front in p.fronts]),
        *cost_cells(entry),
    ]
    return Row(cells=tuple(cells), tags=tags(entry))


def _fronts(fronts: Sequence[str]) -> Number:
    if not fronts:
        return Number(value=None)
    counts = {name: fronts.count(name) for name in dict.fromkeys(fronts)}
    listing = ", ".join(f"{name} {count}" for name, count in counts.items())
    return Number(value=float(len(fronts)), unit="count", note=listing)


def _history_table(standings: Standings, linked: bool) -> Table:
    """Earlier runs of the same candidates, not ranked."""
    keys = [key for key in standings.keys if key.primary]
    rows = []
    for run in standings.earlier:
        scores = {(score.task, score.metric): score for score in run.scores}
        scores_in_order = [scores.get((key.task, key.metric)) for key in keys]
        cells: list[Cell] = [
            run_cell(run, up="" if linked else None).model_copy(update={"note": run.id[:12]}),
            Text(text=moment(run.created_at)),
            *(Number(value=None) if s is None else score_number(run, s) for s in scores_in_order),
        ]
        rows.append(Row(cells=tuple(cells), tags=(f"experiment={run.experiment}",)))
    return Table(
        id="history",
        caption="Earlier runs",
        columns=(
            Column(title="Run"),
            Column(title="Date", one_line=True),
            *(metric_heading(key, standings) for key in keys),
        ),
        rows=tuple(rows),
        filters=("experiment",),
        folded=True,
    )


def _tasks_section(standings: Standings) -> Section:
    rows = []
    for task, keys in standings.tasks.items():
        placed = standings.placed[task, keys[0].metric].values()
        first = sum((p.rank or "").split("–")[0] == "1" for p in placed)
        cells: list[Cell] = [
            Text(text=task_title(task), link=task_path(task)),
            Text(text=metric_title(keys[0].metric)),
            Number(value=float(len(placed)), unit="count"),
            Number(value=float(len({p.group for p in placed})), unit="count"),
            Text(text=counted(first, "run") if first else "not ranked"),
        ]
        rows.append(Row(cells=tuple(cells), tags=(f"family={keys[0].family}",)))
    table = Table(
        id="tasks",
        caption="Tasks",
        columns=(
            Column(title="Task"),
            Column(title="Metric"),
            Column(title="Runs", numeric=True),
            Column(title="Settings", detail="ranked apart", numeric=True),
            Column(title="May be first", detail="cannot be told from the best"),
        ),
        rows=tuple(rows),
        filters=("family",),
    )
    return Section(
        id="tasks-section", title="Task by task", short="Tasks", lead=None, blocks=(table,)
    )


def _more_section(standings: Standings) -> Section:
    rows = [
        Row(
            cells=(
                Text(text=f"Head to head: {suite}", link=head_to_head_path(suite)),
                Text(text="win rates item by item, and Bradley-Terry ratings"),
            )
        )
        for suite in standings.suites
    ]
    rows += [
        Row(cells=(Text(text=name, link=name), Text(text=description)))
        for name, description in DOWNLOADS
    ]
    table = Table(
        id="more",
        caption="More pages and files",
        columns=(Column(title="Page or file"), Column(title="What it holds")),
        rows=tuple(rows),
    )
    return Section(
        id="more-section", title="More pages and files", short="Files", lead=None, blocks=(table,)
    )
