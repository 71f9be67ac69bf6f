"""A model's page: its scores on each suite, its earlier runs, how it was made and what it cost.

It says nothing of other models, so that a new run elsewhere leaves the page as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache

from steelyard.harness.records import DIVERGENCE, Run
from steelyard.reports.cells import phases, score_number, size_number
from steelyard.reports.document import (
    Block,
    Cell,
    Column,
    Document,
    Notice,
    Number,
    Page,
    Row,
    Section,
    Table,
    Text,
)
from steelyard.reports.material import MetricKey, metric_keys
from steelyard.reports.site.cells import marks
from steelyard.reports.site.names import INDEX, model_name, task_path
from steelyard.reports.site.ranks import normalised
from steelyard.reports.words import base_title, bytes_, metric_title, moment, plain, task_title

_HISTORY_METRICS = 24


def model_document(runs: Sequence[Run], current: Collection[str]) -> Document:
    """The page of one ``experiment / candidate``; ``runs`` are all of its runs, oldest first, of
    which ``current`` (one a suite) are its scores."""
    ranked = {run.suite: run for run in runs if run.id in current}
    last = next((run for run in reversed(runs) if run.id in current), runs[-1])
    sections = [_scores_section(ranked[suite], len(ranked)) for suite in ranked]
    if len(runs) > len(ranked):
        suites = dict.fromkeys(run.suite for run in runs)
        sections += [_history_section([r for r in runs if r.suite == suite]) for suite in suites]
    sections.append(_making_section(last))
    trained = last.checkpoint
    return Document(
        kind="leaderboard",
        title=model_name(last),
        subtitle=f"{trained.trainer} on {base_title(trained.base)}",
        headline=_headline(runs, ranked),
        facts=(
            ("Trainer", trained.trainer),
            ("Base", base_title(trained.base)),
            ("Size", bytes_(trained.size_bytes)),
            ("Current run", moment(last.created_at)),
            ("Checkpoint", trained.digest[:12]),
        ),
        sections=tuple(sections),
        pages=(Page(title="Leaderboard", link=f"../{INDEX}"),),
        marker="steelyard-model",
    )


def _headline(runs: Sequence[Run], ranked: dict[str, Run]) -> str:
    suites = ", ".join(ranked)
    times = "once" if len(runs) == 1 else f"{len(runs)} times"
    tasks = len({score.task for run in ranked.values() for score in run.scores})
    return f"Scored {times} on {suites}: {tasks} task{'' if tasks == 1 else 's'}."


def _scores_section(run: Run, suites: int) -> Section:
    blocks: list[Block] = []
    if remarks := marks(run):
        blocks.append(Notice(level="note" if run.complete else "warning", text=remarks))
    signatures = {signature.task: signature for signature in run.signatures}
    rows = []
    for score in run.scores:
        signature = signatures.get(score.task)
        cells: tuple[Cell, ...] = (
            _task_cell(score.task, score.family not in DIVERGENCE),
            _metric_cell(score.metric, score.higher_is_better, score.chance),
            score_number(run, score, normalised=normalised(score)),
            Number(value=float(score.n), unit="count"),
            _settings_cell(None if signature is None else (signature.few_shot, signature.limit)),
        )
        rows.append(Row(cells=cells, tags=(f"family={score.family}",)))
    blocks.append(
        Table(
            id=f"scores-{run.id[:12]}",
            caption=f"Scores on {run.suite}",
            columns=(
                Column(title="Task"),
                Column(title="Metric"),
                Column(title="Score", detail="95% interval", numeric=True, scores=True, bars=False),
                Column(title="Samples", numeric=True),
                Column(title="Settings"),
            ),
            rows=tuple(rows),
            note=f"Run {run.id[:12]} of {moment(run.created_at)}.",
            filters=("family",),
        )
    )
    title = "Scores" if suites == 1 else f"Scores on {run.suite}"
    return Section(
        id=f"run-{run.id[:12]}", title=title, short=title, lead=None, blocks=tuple(blocks)
    )


# What pages have in common is made once: a site has thousands of them.


@lru_cache(maxsize=1000)
def _task_cell(task: str, ranked: bool) -> Text:
    return Text(text=task_title(task), link=f"../{task_path(task)}" if ranked else None)


@lru_cache(maxsize=1000)
def _metric_cell(metric: str, higher: bool, chance: float | None) -> Text:
    direction = "higher is better" if higher else "lower is better"
    floor = "" if chance is None else f", chance {plain(chance)}"
    return Text(text=metric_title(metric), note=f"{direction}{floor}")


@lru_cache(maxsize=1000)
def _settings_cell(settings: tuple[int, int | None] | None) -> Text:
    if settings is None:
        return Text(text="–")
    few_shot, limit = settings
    return Text(text=f"{few_shot}-shot" + ("" if limit is None else f", limit {limit}"))


def _history_section(runs: Sequence[Run]) -> Section:
    keys = [key for key in metric_keys(runs[::-1]) if key.primary][:_HISTORY_METRICS]
    suite = runs[-1].suite
    table = Table(
        id=f"history-{runs[-1].id[:12]}",
        caption=f"Runs on {suite}, newest first",
        columns=(
            Column(title="Date"),
            Column(title="Run"),
            Column(title="Checkpoint"),
            *(_history_column(key) for key in keys),
        ),
        rows=tuple(_history_row(run, keys) for run in reversed(runs)),
        note="Bars of one column share a scale. Runs may differ in settings; compare them with "
        "`steelyard compare` before reading a trend.",
    )
    return Section(
        id=f"past-{runs[-1].id[:12]}",
        title="History",
        short="History",
        lead=None,
        blocks=(table,),
    )


def _history_column(key: MetricKey) -> Column:
    direction = "higher is better" if key.higher_is_better else "lower is better"
    detail = f"{metric_title(key.metric)} · {direction}"
    return Column(title=task_title(key.task), detail=detail, numeric=True)


def _history_row(run: Run, keys: Sequence[MetricKey]) -> Row:
    scores = {(score.task, score.metric): score for score in run.scores}
    scores_in_order = [scores.get((key.task, key.metric)) for key in keys]
    cells: list[Cell] = [
        Text(text=moment(run.created_at)),
        Text(text=run.id[:12], code=True),
        Text(text=run.checkpoint.digest[:12], code=True),
        *(Number(value=None) if s is None else score_number(run, s) for s in scores_in_order),
    ]
    return Row(cells=tuple(cells))


def _making_section(run: Run) -> Section:
    made = run.checkpoint
    parent = made.parent[:12] if made.parent else "none"
    facts: list[tuple[str, str]] = [
        ("Format", made.format),
        ("Parent", parent),
        ("Seed", "–" if made.seed is None else str(made.seed)),
        ("Steps", "–" if made.steps is None else f"{made.steps:,}"),
        ("Parameters", "–" if made.parameters is None else f"{made.parameters:,}"),
        *((name, str(value)[:200]) for name, value in made.recipe.items()),
    ]
    recipe = Table(
        id="recipe",
        caption="Recipe",
        columns=(Column(title="Setting"), Column(title="Value")),
        rows=tuple(
            Row(cells=(Text(text=name[:200]), Text(text=value, code=True))) for name, value in facts
        ),
        folded=True,
    )
    return Section(
        id="making",
        title="How it was made, and what it cost",
        short="Making",
        lead=None,
        blocks=(_energy_table(run), recipe),
    )


def _energy_table(run: Run) -> Table:
    words = {"train": "training", "score": "scoring", "inherited": "training of its parents"}
    rows = [
        Row(
            cells=(
                Text(text=words[spent.phase]),
                Number(
                    value=spent.energy_kwh,
                    unit="kWh",
                    grade=spent.grade,
                    source=f"{source}/energy_kwh",
                    note=spent.note,
                ),
                Number(value=spent.co2e_g, unit="g", source=f"{source}/co2e_g"),
                Number(value=spent.seconds, unit="seconds", source=f"{source}/seconds"),
            )
        )
        for source, spent in phases(run)
    ]
    size = size_number(run)
    return Table(
        id="energy",
        caption="Energy",
        columns=(
            Column(title="Phase"),
            Column(title="Energy", numeric=True),
            Column(title="CO2e", numeric=True),
            Column(title="Time", numeric=True),
        ),
        rows=tuple(rows),
        note=f"On disk: {bytes_(size.value)}{', ' + size.note if size.note else ''}.",
    )
