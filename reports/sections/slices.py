"""Where within a task a difference was found."""

from __future__ import annotations

from steelyard.harness.records import Comparison, Delta
from steelyard.reports.cells import change_of
from steelyard.reports.document import (
    Block,
    Column,
    HeatMap,
    Number,
    Paragraph,
    Row,
    Section,
    Table,
    Text,
    Word,
)
from steelyard.reports.material import Material
from steelyard.reports.words import listed, metric_title, plain, task_title

#: More rows than this no reader takes in at a glance; the table below has them all.
MAX_HEAT_ROWS = 25

Key = tuple[str, str, str]


def slices_section(material: Material) -> Section | None:
    """The slices on which a difference was found, the surest first, and how many were looked at."""
    slices = [(c, d) for c in material.main_comparisons for d in c.slices]
    if not slices:
        return None
    moved = [(c, d) for c, d in slices if d.verdict in ("better", "worse")]
    moved.sort(key=lambda pair: (_sureness(pair[1]), -abs(pair[1].delta or 0.0)))
    words = f"{len(moved)} of {len(slices)} slices moved; the p-values are adjusted for looking "
    words += "at all of them. A slice that is not listed is not thereby shown to stand still."
    blocks: list[Block] = [Paragraph(text=words)]
    if moved:
        blocks += [_heat(material, moved), _moved_table(moved)]
    return Section(id="slices", title="Slices that moved", short="Slices", blocks=tuple(blocks))


def _heat(material: Material, moved: list[tuple[Comparison, Delta]]) -> HeatMap:
    """Candidates across, the slices that moved most surely down."""
    keys = list(dict.fromkeys(_key(d) for _, d in moved))[:MAX_HEAT_ROWS]
    comparisons = material.main_comparisons
    deltas = {(c.candidate, _key(d)): (c, d) for c in comparisons for d in c.slices}
    cells = tuple(
        tuple(_heat_cell(deltas.get((c.candidate, key))) for c in comparisons) for key in keys
    )
    rows = tuple(f"{task_title(task)}, {_slice_title(name)}" for task, _, name in keys)
    worst = [
        f"{c.candidate} on {task_title(d.task)}, {_slice_title(d.slice or '')} {plain(d.delta)}"
        for c, d in sorted(moved, key=lambda pair: pair[1].delta or 0.0)[:3]
        if (d.delta or 0.0) < 0
    ]
    return HeatMap(
        id="slice-heat",
        caption="Paired difference by slice; positive is better",
        columns=tuple(c.candidate for c in comparisons),
        rows=rows,
        cells=cells,
        alternative=f"Differences of {len(keys)} slices. The largest losses: {listed(worst)}.",
    )


def _key(delta: Delta) -> Key:
    return (delta.task, delta.metric, delta.slice or "")


def _slice_title(name: str) -> str:
    return name.replace("=", ": ", 1)


def _heat_cell(pair: tuple[Comparison, Delta] | None) -> Number:
    if pair is None:
        return Number(value=None, signed=True)
    source = change_of(*pair).source
    return Number(value=pair[1].delta, signed=True, source=f"{source}/delta")


def _moved_table(moved: list[tuple[Comparison, Delta]]) -> Table:
    return Table(
        id="slice-table",
        caption="Slices that moved, the surest first",
        columns=(
            Column(title="Candidate"),
            Column(title="Task"),
            Column(title="Slice"),
            Column(title="Samples", numeric=True),
            Column(title="Before", numeric=True),
            Column(title="Now", numeric=True),
            Column(title="Verdict", detail="adjusted p"),
        ),
        rows=tuple(_slice_row(c, d) for c, d in moved),
        filters=("candidate", "task"),
        folded=len(moved) > 12,
    )


def _sureness(delta: Delta) -> float:
    return next((p for p in (delta.p_adjusted, delta.p_value) if p is not None), 1.0)


def _slice_row(comparison: Comparison, delta: Delta) -> Row:
    change = change_of(comparison, delta)
    task = task_title(delta.task)
    source = change.source
    return Row(
        cells=(
            Text(text=comparison.candidate),
            Text(text=task, note=metric_title(delta.metric)),
            Text(text=_slice_title(delta.slice or "")),
            Number(value=float(delta.n), unit="count", source=f"{source}/n"),
            Number(value=delta.baseline, unit=delta.unit, source=f"{source}/baseline"),
            Number(
                value=delta.candidate,
                unit=delta.unit,
                changes=(change,),
                source=f"{source}/candidate",
            ),
            Word(
                word=change.word,
                sense=change.sense,
                note=None if delta.p_adjusted is None else f"p = {delta.p_adjusted:.2g}",
                source=f"{source}/verdict",
            ),
        ),
        tags=(f"candidate={comparison.candidate}", f"task={task}"),
    )
