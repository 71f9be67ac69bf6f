"""Any number of runs, ranked metric by metric in sets that the intervals cannot separate."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from harness.records import Run, Score
from reports.cells import energy_number, metric_column, phases, score_number, size_number
from reports.document import (
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
from reports.material import DIVERGENCE, MetricKey, metric_keys
from reports.words import base_title, moment

#: Fields of a signature that must be equal for two runs to stand in one ranking.
RANKED_TOGETHER = (
    "task_digest",
    "data_digest",
    "few_shot",
    "template",
    "limit",
    "max_length",
    "decoding",
)


def build_leaderboard(
    runs: Sequence[Run], *, title: str = "Leaderboard", notes: Sequence[str] = ()
) -> Document:
    """Runs x primary metrics with rank sets, energy and size.

    A rank set ``2–4`` says: one run lies wholly above this one's interval, and of all others three
    cannot be told apart from it or lie above. It is read pairwise from the marginal 95% intervals
    of the records, which is cautious (paired tests separate more) and not corrected for the number
    of runs. Runs whose signatures differ on a task, and imported runs, are not ranked together
    with the others on it. Of several runs of one candidate the newest is ranked; the earlier ones
    are listed below.
    """
    ordered = sorted(runs, key=lambda run: (run.experiment, run.candidate, run.created_at))
    newest = list({(run.experiment, run.candidate): run for run in ordered}.values())
    ranked = {id(run) for run in newest}
    earlier = [run for run in ordered if id(run) not in ranked]
    keys = [key for key in metric_keys(newest) if key.family not in DIVERGENCE]
    tables = [_standings(newest, keys)]
    if earlier:
        tables.append(_history(earlier, [key for key in keys if key.primary]))
    primary = sum(key.primary for key in keys)
    blocks: list[Block] = [*(Notice(level="note", text=n) for n in notes), *tables]
    imported = sum(run.imported_from is not None for run in newest)
    if imported:
        text = f"{imported} of {len(newest)} runs are imported: their numbers were not made here, "
        blocks.insert(0, Notice(level="note", text=text + "and they are ranked among themselves."))
    section = Section(
        id="standings-section",
        title="Standings",
        short="Standings",
        lead=(
            "There is no overall score: sort by the metric that matters. A rank is a set wherever "
            "the intervals cannot separate."
        ),
        blocks=tuple(blocks),
    )
    experiments = {run.experiment for run in newest}
    return Document(
        kind="leaderboard",
        title=title,
        subtitle=_counted(len(experiments), "experiment"),
        headline=f"{_counted(len(newest), 'run')} on {_counted(primary, 'primary metric')}.",
        facts=(
            ("Newest", moment(max((run.created_at for run in runs), default="–"))),
            ("Earlier runs", str(len(earlier))),
        ),
        sections=(section,),
        marker="assay-leaderboard",
    )


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _standings(runs: Sequence[Run], keys: Sequence[MetricKey]) -> Table:
    ranks = {(key.task, key.metric): _rank_sets(runs, key) for key in keys if key.primary}
    columns = (
        Column(title="Run", detail="experiment / candidate"),
        Column(title="Trainer"),
        Column(title="Base"),
        *(_column(key) for key in keys),
        Column(title="Training energy", detail="parents included", numeric=True),
        Column(title="Size", numeric=True),
        Column(title="Date"),
    )
    return Table(
        id="standings",
        caption="Standings",
        columns=columns,
        rows=tuple(_row(run, keys, ranks) for run in runs),
        note=(
            "Rank sets are read pairwise from the 95% intervals, not from paired tests; they are "
            "cautious, and not corrected for the number of runs."
        ),
        filters=("experiment", "trainer", "base", "suite"),
        grouped=True,
    )


def _history(runs: Sequence[Run], keys: Sequence[MetricKey]) -> Table:
    """Earlier runs of the same candidates, not ranked."""
    return Table(
        id="history",
        caption="Earlier runs",
        columns=(Column(title="Run"), Column(title="Date"), *(_column(key) for key in keys)),
        rows=tuple(
            Row(
                cells=(
                    Text(text=f"{run.experiment} / {run.candidate}", note=run.id[:12]),
                    Text(text=moment(run.created_at)),
                    *(
                        score_number(run, score)
                        if (score := run.score(key.task, key.metric))
                        else Number(value=None)
                        for key in keys
                    ),
                ),
                tags=(f"experiment={run.experiment}",),
            )
            for run in runs
        ),
        filters=("experiment",),
        folded=True,
    )


def _column(key: MetricKey) -> Column:
    column = metric_column(key)
    return column.model_copy(update={"detail": (column.detail or "").rpartition(" · n = ")[0]})


def _row(run: Run, keys: Sequence[MetricKey], ranks: dict[tuple[str, str], dict[str, str]]) -> Row:
    name = Text(
        text=f"{run.experiment} / {run.candidate}",
        note=f"imported from {run.imported_from}" if run.imported_from else None,
    )
    cells: list[Cell] = [
        name,
        Text(text=run.checkpoint.trainer),
        Text(text=base_title(run.checkpoint.base)),
    ]
    scores = {(score.task, score.metric): score for score in run.scores}
    for key in keys:
        score = scores.get((key.task, key.metric))
        if score is None:
            cells.append(Number(value=None))
            continue
        number = score_number(run, score)
        rank = ranks.get((key.task, key.metric), {}).get(run.id)
        note = "; ".join(part for part in (rank, number.note) if part)
        cells.append(number.model_copy(update={"note": note or None}))
    cells += [energy_number(phases(run, "train", "inherited")), size_number(run)]
    cells.append(Text(text=run.created_at[:10]))
    return Row(
        cells=tuple(cells),
        tags=(
            f"experiment={run.experiment}",
            f"trainer={run.checkpoint.trainer}",
            f"base={base_title(run.checkpoint.base)}",
            f"suite={run.suite}",
        ),
    )


def _rank_sets(runs: Sequence[Run], key: MetricKey) -> dict[str, str]:
    """Run id -> ``rank 1 of 8``, ``rank 2–4 of 8``, or why there is none."""
    groups: dict[tuple[object, ...], list[tuple[Run, Score]]] = {}
    found: dict[str, str] = {}
    for run in runs:
        score = run.score(key.task, key.metric)
        if score is None or score.value is None:
            continue
        if score.low is None or score.high is None:
            found[run.id] = "no interval, not ranked"
            continue
        groups.setdefault(_group(run, key.task), []).append((run, score))
    largest = max(groups.values(), key=len, default=[])
    for members in groups.values():
        words = "rank" if members is largest else "other settings, rank"
        for (run, _), shown in zip(members, rank_sets([s for _, s in members]), strict=True):
            found[run.id] = f"{words} {shown} of {len(members)}"
    return found


def _group(run: Run, task: str) -> tuple[object, ...]:
    """What must be equal for two runs to be ranked together on a task."""
    signature = run.signature(task)
    fields = () if signature is None else tuple(getattr(signature, n) for n in RANKED_TOGETHER)
    return (run.imported_from is not None, *fields)


def rank_sets(scores: Sequence[Score]) -> list[str]:
    """For each score the ranks it may have: ``1``, or ``2–4`` where intervals overlap.

    The first rank counts the scores whose interval lies wholly on the better side of this one's,
    the last those wholly on the worse side. Every score must have an interval. n log n.
    """
    worst, best = [], []
    for score in scores:
        sign = 1.0 if score.higher_is_better else -1.0
        ends = sorted(sign * end for end in (score.low, score.high) if end is not None)
        worst.append(ends[0])
        best.append(ends[-1])
    by_worst, by_best = sorted(worst), sorted(best)
    shown = []
    for low, high in zip(worst, best, strict=True):
        first = 1 + len(scores) - bisect_right(by_worst, high)
        last = len(scores) - bisect_left(by_best, low)
        shown.append(f"{first}" if first == last else f"{first}–{last}")
    return shown
