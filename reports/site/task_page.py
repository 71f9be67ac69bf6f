"""A task's page: who stands where, each group of equal settings in a table of its own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from steelyard.reports.cells import metric_column
from steelyard.reports.document import Cell, Column, Document, Number, Row, Section, Table, Text
from steelyard.reports.material import MetricKey
from steelyard.reports.site.cells import (
    COST_COLUMNS,
    RANGES,
    cost_cells,
    entry_cell,
    pages,
    score_cell,
    tags,
)
from steelyard.reports.site.standings import Group, Placed, Standings
from steelyard.reports.words import family_title, metric_title, task_title

_COLUMNS = (
    Column(title="Rank", detail="as a set"),
    *COST_COLUMNS,
)

#: Further runs of a group are counted here and shown on the first page.
MOST_ROWS = 500
_BADGES = {
    (): (),
    ("energy",): ("best for its energy",),
    ("size",): ("best for its size",),
    ("energy", "size"): ("best for its energy", "best for its size"),
}


def task_document(standings: Standings, task: str) -> Document:
    """The page of one task; its primary metrics ranked, or all where it names none."""
    keys = standings.tasks[task]
    shown = [key for key in keys if key.primary] or keys
    runs = {id for key in shown for id in standings.placed[task, key.metric]}
    sections = [_metric_section(standings, key, single=len(shown) == 1) for key in shown]
    return Document(
        kind="leaderboard",
        title=task_title(task),
        subtitle=f"Task {task}, {family_title(keys[0].family).lower()}",
        headline=f"{len(runs):,} run{'' if len(runs) == 1 else 's'}, best first.",
        facts=(("Metrics", ", ".join(metric_title(key.metric) for key in shown)),),
        sections=tuple(sections),
        pages=pages(standings, "../"),
        marker="steelyard-task",
    )


def _metric_section(standings: Standings, key: MetricKey, *, single: bool) -> Section:
    placed = standings.placed[key.task, key.metric].values()
    groups: dict[Group, list[Placed]] = {}
    for place in placed:
        groups.setdefault(place.group, []).append(place)
    name = metric_title(key.metric)
    return Section(
        id=f"metric-{standings.tasks[key.task].index(key)}",
        title="Ranking" if single else f"Ranking by {name}",
        short="Ranking" if single else name,
        lead=_lead(groups),
        blocks=tuple(
            _placed_table(key, group.name, members, f"m{standings.tasks[key.task].index(key)}-{i}")
            for i, (group, members) in enumerate(groups.items())
        ),
    )


def _lead(groups: dict[Group, list[Placed]]) -> str:
    if len(groups) == 1:
        return "Every run here was asked the same, so all are ranked together."
    return (
        f"{len(groups)} groups were not asked the same, or not here, so each is ranked by itself; "
        "a group is named by what sets it apart."
    )


def _placed_table(key: MetricKey, group: str, members: Sequence[Placed], id: str) -> Table:
    detail = metric_column(key, with_count=False).detail
    differing = len({placed.score.n for placed in members}) > 1
    left_out = max(0, len(members) - MOST_ROWS)
    ordered = sorted(members, key=lambda placed: _place(placed, key.higher_is_better))
    return Table(
        id=id,
        caption=f"{len(members):,} run{'' if len(members) == 1 else 's'}"
        + (f": {group}" if group else ""),
        columns=(
            Column(title="Run", detail="experiment / candidate"),
            Column(title="Score", detail=detail, numeric=True, scores=True),
            *([Column(title="Samples", numeric=True)] if differing else ()),
            *_COLUMNS,
        ),
        rows=tuple(_placed_row(placed, samples=differing) for placed in ordered[:MOST_ROWS]),
        note=_note(None if differing else members[0].score.n, left_out),
        filters=("trainer", "base", "experiment"),
        ranges=RANGES,
    )


def _note(samples: int | None, left_out: int) -> str | None:
    parts = [] if samples is None else [f"Each scored on {samples:,} samples."]
    if left_out:
        parts.append(
            f"The best {MOST_ROWS}; {left_out:,} further runs are ranked with them and stand on "
            "the first page and in the downloads."
        )
    return " ".join(parts) or None


def _place(placed: Placed, higher: bool) -> tuple[bool, float, str]:
    value = placed.score.value
    if value is None:
        return True, 0.0, placed.entry.run.id
    return False, -value if higher else value, placed.entry.run.id


def _placed_row(placed: Placed, *, samples: bool) -> Row:
    badges = _BADGES[placed.fronts]
    cells: tuple[Cell, ...] = (
        entry_cell(placed.entry, "../", badges),
        score_cell(placed),
        *([Number(value=float(placed.score.n), unit="count")] if samples else ()),
        _rank_cell(placed.rank),
        *cost_cells(placed.entry),
    )
    return Row(cells=cells, tags=tags(placed.entry))


@lru_cache(maxsize=10_000)
def _rank_cell(rank: str | None) -> Text:
    return Text(text="not ranked" if rank is None else rank)
