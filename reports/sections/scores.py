"""Candidates x metrics, one table a family; hallucination and divergence on cards of their own."""

from __future__ import annotations

from steelyard.harness.records import DIVERGENCE, HALLUCINATION, Run
from steelyard.reports.cells import metric_column, run_heading, score_cell
from steelyard.reports.document import Block, Column, Number, Row, Section, Table, Text
from steelyard.reports.material import Material, MetricKey
from steelyard.reports.words import metric_title, plain, task_title


def scores_section(material: Material) -> Section | None:
    """Every family but hallucination and divergence, which have their own sections."""
    families = material.families()
    keys = [key for family in families if family != HALLUCINATION for key in families[family]]
    if not keys:
        # A gate that stopped early has verdicts and no whole score; cost has a section of its own.
        return None
    table = Table(
        id="score-table",
        caption="Candidates and metrics",
        columns=(Column(title="Candidate"), *(metric_column(key) for key in keys)),
        rows=tuple(
            Row(
                cells=(run_heading(run), *(score_cell(material, run, key) for key in keys)),
                run=run.candidate,
            )
            for run in material.runs
        ),
        grouped=True,
    )
    return Section(
        id="scores",
        title="Scores",
        short="Scores",
        lead=(
            "Value with its 95% interval over samples; below it the paired difference against "
            f"{material.baseline} with its own 95% interval and verdict. Differences are turned so "
            "that positive is better, whatever the metric. An interval is of its row alone; the "
            "words hold over all that is asked here, so they may say less."
        ),
        blocks=(table,),
    )


def hallucination_section(material: Material) -> Section | None:
    """Each probe on its own line with its floor; never one number."""
    keys = material.families().get(HALLUCINATION, [])
    if not keys:
        return None
    columns = (
        Column(title="Probe", detail="what is counted"),
        Column(title="Floor", detail="by chance", numeric=True),
        *(Column(title=run.candidate, numeric=True) for run in material.runs),
    )
    rows = tuple(_probe(material, key) for key in keys)
    table = Table(id="probes", caption="Hallucination probes", columns=columns, rows=rows)
    return Section(
        id="hallucination",
        title="What it makes up",
        short="Hallucination",
        lead=(
            "Each probe on its own line, never added up: a model can be honest about what it was "
            "never told and still ignore the page in front of it. The floor is what guessing gives."
        ),
        blocks=(table,),
    )


def _probe(material: Material, key: MetricKey) -> Row:
    heading = Text(
        text=f"{task_title(key.task)}: {metric_title(key.metric)}",
        note=_direction(key),
    )
    owner = next(run for run in material.runs if run.score(key.task, key.metric))
    floor = Number(
        value=key.chance,
        note=None if key.majority is None else f"majority {plain(key.majority)}",
        source=f"runs/{owner.id}/scores/{key.task}/{key.metric}/chance",
    )
    return Row(
        cells=(heading, floor, *(score_cell(material, run, key) for run in material.runs)),
        tags=("primary=yes" if key.primary else "primary=no",),
    )


def divergence_section(material: Material) -> Section | None:
    """How far each checkpoint has moved from its own parent."""
    keys = [key for key in material.metrics() if key.family in DIVERGENCE]
    if not keys:
        return None
    runs = [run for run in material.runs if any(run.score(k.task, k.metric) for k in keys)]
    rows = tuple(
        Row(
            cells=(
                run_heading(run),
                Text(text=parent_name(material, run)),
                *(score_cell(material, run, key) for key in keys),
            ),
            run=run.candidate,
        )
        for run in runs
    )
    table = Table(
        id="divergence-table",
        caption="Divergence of each checkpoint from its parent",
        columns=(
            Column(title="Candidate"),
            Column(title="Parent"),
            *(
                metric_column(key).model_copy(
                    update={
                        "title": metric_title(key.metric),
                        "detail": _direction(key),
                        "primary": True,
                    }
                )
                for key in keys
            ),
        ),
        rows=rows,
    )
    blocks: tuple[Block, ...] = (table,)
    return Section(
        id="divergence",
        title="Divergence from the parent",
        short="Divergence",
        lead=(
            "Mean Kullback–Leibler divergence per token over a fixed text, in nats, and how often "
            "both models would say the same next token. It sees an int8 rounding that no accuracy "
            "does. Far is not bad in itself: a tuned model is meant to move, a quantised one not."
        ),
        blocks=blocks,
    )


def _direction(key: MetricKey) -> str:
    direction = "higher is better" if key.higher_is_better else "lower is better"
    return f"{direction}, n = {key.n}"


def parent_name(material: Material, run: Run) -> str:
    """The candidate whose checkpoint this one was made from."""
    parent = run.checkpoint.parent
    if parent is None:
        return "–"
    parent_run = next((r for r in material.runs if r.checkpoint.digest == parent), None)
    return parent_run.candidate if parent_run else parent[:12]
