"""What answering costs, and when a dearer training pays for itself."""

from __future__ import annotations

from steelyard.harness.energy import ServingCost, break_even_queries, total
from steelyard.harness.records import COST, Run
from steelyard.reports.cells import phases, run_heading, score_cell
from steelyard.reports.document import Block, Column, Number, Paragraph, Row, Section, Table, Text
from steelyard.reports.material import Material, MetricKey
from steelyard.reports.words import metric_title

_PER_QUERY = "kwh_per_1k_queries"


def serving_section(material: Material) -> Section | None:
    """Latency, throughput, memory and energy of answering, and break-even queries, if measured."""
    keys = [key for key in material.metrics() if key.family == COST]
    if not keys:
        return None
    table = Table(
        id="serving-table",
        caption="Latency, throughput, memory and energy of a query",
        columns=(
            Column(title="Measure", one_line=True),
            *(Column(title=run.candidate, numeric=True, bars=False) for run in material.runs),
        ),
        rows=tuple(_cost_row(material, key) for key in keys),
        note=_conditions(material, keys[0]),
    )
    return Section(
        id="serving",
        title="What answering costs",
        short="Answering",
        blocks=(table, *_break_even(material)),
    )


def _cost_row(material: Material, key: MetricKey) -> Row:
    direction = "higher is better" if key.higher_is_better else "lower is better"
    cells = []
    for run in material.runs:
        cell = score_cell(material, run, key)
        # The conditions stand once, under the table.
        cells.append(cell.model_copy(update={"note": None}) if key.primary else cell)
    return Row(cells=(Text(text=metric_title(key.metric), note=direction), *cells))


def _conditions(material: Material, key: MetricKey) -> str:
    conditions = [
        f"{run.candidate}: {score.note}"
        for run in material.runs
        if (score := run.score(key.task, key.metric)) is not None and score.note
    ]
    return (
        "Measured apart from the scores, which may come from a journal and then have no latency. A "
        "change is the paired ratio over the same queries, its interval over passes. "
        f"{'; '.join(conditions)}."
    )


def _serving(run: Run) -> ServingCost:
    """Training with its parents; the base, which others trained, is not charged for it."""
    trained = [energy for _, energy in phases(run, "train", "inherited")]
    score = run.score(COST, _PER_QUERY)
    per_query = None if score is None or score.value is None else score.value / 1000
    # What another tool trained and scored came in without its cost: unknown, which is not nothing.
    untrained = None if run.imported_from else 0.0
    return ServingCost(total(trained).energy_kwh if trained else untrained, per_query)


def _break_even(material: Material) -> list[Block]:
    first = next((r for r in material.runs if r.candidate == material.baseline), None)
    if first is None or not material.candidates:
        return []
    before = _serving(first)
    served = [(run, _serving(run)) for run in material.candidates]
    if before.kwh_per_query is None or all(s.kwh_per_query is None for _, s in served):
        return [
            Paragraph(text="Break-even queries: unavailable, the energy of a query is not known.")
        ]
    rows = tuple(
        Row(
            cells=(
                run_heading(run),
                Number(value=_difference(cost.training_kwh, before.training_kwh), unit="kWh"),
                Number(value=_difference(cost.kwh_per_query, before.kwh_per_query), unit="kWh"),
                Number(value=break_even_queries(before, cost), unit="count"),
                Text(text=_said(before, cost)),
            ),
            run=run.candidate,
        )
        for run, cost in served
    )
    table = Table(
        id="break-even",
        caption=f"When a candidate has used no more energy than {first.candidate}",
        columns=(
            Column(title="Candidate"),
            Column(title="Training", detail="more than the baseline's", numeric=True),
            Column(title="A query", detail="more than the baseline's", numeric=True),
            Column(title="Break-even", detail="queries", numeric=True),
            Column(title="In words"),
        ),
        rows=rows,
        note="Parents' training is counted; a base that was trained elsewhere is not charged.",
    )
    return [table]


def _difference(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else after - before


def _said(before: ServingCost, after: ServingCost) -> str:
    training = _difference(after.training_kwh, before.training_kwh)
    query = _difference(after.kwh_per_query, before.kwh_per_query)
    if training is None or query is None:
        return "unavailable: an energy is not known"
    queries = break_even_queries(before, after)
    if queries is None or queries == 0:
        return "dearer from the first query on" if max(training, query) > 0 else "never dearer"
    ahead = "cheaper" if query < 0 else "dearer"
    return f"{ahead} in all from {queries:,.0f} queries on"
