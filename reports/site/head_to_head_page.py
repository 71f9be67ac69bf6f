"""The head-to-head page of a suite: who wins how many items against whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from steelyard.harness.errors import MissingExtraError
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
from steelyard.reports.site.cells import pages, run_cell
from steelyard.reports.site.head_to_head import Rated, WinRate, ratings, win_rate
from steelyard.reports.site.items import PairItems, RowsOf, pair_items
from steelyard.reports.site.names import model_name, task_path
from steelyard.reports.site.standings import Entry, Standings
from steelyard.reports.words import task_title

Rates = Mapping[tuple[int, int], WinRate]


def contestants(entries: Sequence[Entry], limit: int) -> list[Entry]:
    """The newest ``limit`` of a suite's runs, in the order of the standings."""
    newest = sorted(entries, key=lambda e: (e.run.made, e.run.id), reverse=True)[:limit]
    newest_ids = {entry.run.id for entry in newest}
    return [entry for entry in entries if entry.run.id in newest_ids]


def head_to_head_document(
    standings: Standings, suite: str, rows_of: RowsOf, *, limit: int
) -> Document:
    """Ratings, the matrix of win rates, and each pair task by task."""
    everyone = standings.suites[suite]
    entries = contestants(everyone, limit)
    measures = [(key.task, key.metric) for key in standings.keys if key.primary]
    pairs = list(pair_items(entries, measures, rows_of))
    tasks = list(dict.fromkeys(pair.task for pair in pairs))
    sections = (
        _overall_sections(entries, pairs)
        if pairs
        else [_page_section("none", "Nothing to hold against each other", [_nothing()])]
    )
    left_out = len(everyone) - len(entries)
    return Document(
        kind="leaderboard",
        title=f"Head to head on {suite}",
        subtitle="Item by item: the same question, asked the same way, of two models",
        headline=f"{len(entries)} models on {len(tasks)} tasks"
        + (f"; the {left_out:,} older runs of the suite are left out." if left_out else "."),
        facts=(("Tasks", ", ".join(map(task_title, tasks[:12])) + (" …" if tasks[12:] else "")),),
        sections=tuple(sections),
        pages=pages(standings, "../"),
        marker="steelyard-head-to-head",
    )


def _nothing() -> Notice:
    text = "No two runs here have rows of the same items under the same settings."
    return Notice(level="note", text=text)


def _page_section(id: str, title: str, blocks: Sequence[Block], lead: str | None = None) -> Section:
    return Section(id=id, title=title, short=title, lead=lead, blocks=tuple(blocks))


def _overall_sections(entries: Sequence[Entry], pairs: Sequence[PairItems]) -> list[Section]:
    by_pair: dict[tuple[int, int], list[PairItems]] = {}
    for pair in pairs:
        by_pair.setdefault((pair.a, pair.b), []).append(pair)
    rates: dict[tuple[int, int], WinRate] = {}
    for (a, b), members in by_pair.items():
        rates[a, b] = win_rate(members)
        rates[b, a] = rates[a, b].turned
    return [
        _page_section(
            "ratings-section",
            "Ratings",
            _ratings_blocks(entries, pairs, rates),
            "Bradley-Terry over every item of every pair: 400 points are odds of 10 to 1, the mean "
            "is 1000. It sums up this page and no other: a model that wins many easy items of one "
            "task rates high.",
        ),
        _page_section(
            "matrix-section",
            "Win rates",
            [_matrix(entries, rates)],
            "The share of items on which the model of the row did better than the model of the "
            "column; a tie is half a win, so .5 is even.",
        ),
        _page_section(
            "pairs-section",
            "Task by task",
            [_pairs_table(entries, pairs)],
            "Choose a model and its opponent to see where the one wins and where the other.",
        ),
    ]


def _ratings_blocks(
    entries: Sequence[Entry], pairs: Sequence[PairItems], rates: Rates
) -> list[Block]:
    blocks: list[Block] = []
    rated: list[Rated] | None = None
    try:
        rated = ratings(pairs, len(entries))
    except MissingExtraError:
        text = "Bradley-Terry ratings need the package evalica: pip install 'steelyard[pairs]'."
        blocks.append(Notice(level="note", text=text))
    if rated and rated[0].value is None:
        text = "No rating: some models never lost an item to the others, or share none with them."
        blocks.append(Notice(level="note", text=text))
        rated = None
    order = list(range(len(entries)))
    if rated:
        order.sort(key=lambda i: -(rated[i].value or 0.0))
    rows = []
    for i in order:
        met = [rates[i, j] for j in range(len(entries)) if (i, j) in rates]
        items = sum(rate.items for rate in met)
        mean = sum(rate.value * rate.items for rate in met) / items if items else None
        cells: list[Cell] = [run_cell(entries[i].run, up="../")]
        if rated:
            cells.append(
                Number(value=rated[i].value, low=rated[i].low, high=rated[i].high, unit="points")
            )
        cells += [Number(value=mean), Number(value=float(items), unit="count")]
        rows.append(Row(cells=tuple(cells)))
    columns = [
        Column(title="Model", detail="experiment / candidate"),
        Column(title="Win rate", detail="over all opponents", numeric=True),
        Column(title="Items", detail="of all pairs", numeric=True),
    ]
    if rated:
        columns.insert(1, Column(title="Rating", detail="points, 95% interval", numeric=True))
    note = "Intervals resample documents within each task." if rated else None
    blocks.append(
        Table(id="ratings", caption="Ratings", columns=tuple(columns), rows=tuple(rows), note=note)
    )
    return blocks


def _matrix(entries: Sequence[Entry], rates: Rates) -> Table:
    names = _short_names(entries)
    rows = []
    for i, entry in enumerate(entries):
        cells: list[Cell] = [run_cell(entry.run, up="../")]
        for j in range(len(entries)):
            rate = rates.get((i, j))
            cells.append(
                Number(value=None)
                if rate is None
                else Number(value=rate.value, low=rate.low, high=rate.high)
            )
        rows.append(Row(cells=tuple(cells)))
    return Table(
        id="matrix",
        caption="Win rate of the row against the column",
        columns=(
            Column(title="Model"),
            *(Column(title=name, detail="against it", numeric=True, bars=False) for name in names),
        ),
        rows=tuple(rows),
        note="95% Wilson intervals on the effective number of items; not corrected for the number "
        "of pairs.",
    )


def _short_names(entries: Sequence[Entry]) -> list[str]:
    """The candidates' names; with the experiment where there are several."""
    if len({entry.run.experiment for entry in entries}) == 1:
        return [entry.run.candidate for entry in entries]
    return [model_name(entry.run) for entry in entries]


def _pairs_table(entries: Sequence[Entry], pairs: Sequence[PairItems]) -> Table:
    names = _short_names(entries)
    rows = []
    for pair in pairs:
        rate = win_rate([pair])
        for a, b, seen in ((pair.a, pair.b, rate), (pair.b, pair.a, rate.turned)):
            rows.append(_pair_row(names[a], names[b], pair.task, seen))
    return Table(
        id="pairs",
        caption="Pairs of models, task by task",
        columns=(
            Column(title="Model"),
            Column(title="Against"),
            Column(title="Task"),
            Column(title="Win rate", detail="95% interval", numeric=True),
            Column(title="Won", numeric=True),
            Column(title="Lost", numeric=True),
            Column(title="Tied", numeric=True),
        ),
        rows=tuple(rows),
        filters=("model", "against", "task"),
    )


def _pair_row(name: str, other: str, task: str, rate: WinRate) -> Row:
    cells: tuple[Cell, ...] = (
        Text(text=name),
        Text(text=other),
        Text(text=task_title(task), link=f"../{task_path(task)}"),
        Number(value=rate.value, low=rate.low, high=rate.high),
        Number(value=float(rate.wins), unit="count"),
        Number(value=float(rate.losses), unit="count"),
        Number(value=float(rate.ties), unit="count"),
    )
    row_tags = (f"model={name}", f"against={other}", f"task={task_title(task)}")
    return Row(cells=cells, tags=row_tags)
