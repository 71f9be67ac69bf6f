"""Which evaluation items a candidate was trained on, and what it scores on those and without."""

from __future__ import annotations

from steelyard.harness.records import Contaminated, Run
from steelyard.reports.cells import run_heading
from steelyard.reports.document import Column, Number, Row, Section, Table, Text
from steelyard.reports.material import Material
from steelyard.reports.words import metric_title, task_title


def contamination_section(material: Material) -> Section | None:
    """One line a candidate and task of which some item is in its training data; else nothing."""
    rows = tuple(
        _overlap_row(run, overlap) for run in material.runs for overlap in run.contamination
    )
    if not rows:
        return None
    table = Table(
        id="contamination-table",
        caption="Evaluation items in the training data",
        columns=(
            Column(title="Candidate"),
            Column(title="Task"),
            Column(title="Items in it", numeric=True),
            Column(title="Of", numeric=True),
            Column(title="Data"),
            Column(title="Score without them", numeric=True, bars=False),
            Column(title="Score on them", numeric=True, bars=False),
        ),
        rows=rows,
        folded=len(rows) > 20,
    )
    return Section(
        id="contamination",
        title="What it had seen before",
        short="Contamination",
        lead=(
            "Items that a row of the training data (its own or a parent's) holds, copied or with a "
            "few words changed. A rule on such a task decides nothing unless the file waives it "
            "with a reason; the slice in_training_data=no is the task without them. Data that the "
            "base was trained on are not known."
        ),
        blocks=(table,),
    )


def _overlap_row(run: Run, overlap: Contaminated) -> Row:
    where = f"runs/{run.id}/contamination/{overlap.task}"
    metric = f"metric {metric_title(overlap.metric)}" if overlap.metric else None
    return Row(
        cells=(
            run_heading(run),
            Text(text=task_title(overlap.task), note=metric),
            Number(value=overlap.contaminated, unit="count", source=f"{where}/contaminated"),
            Number(value=overlap.items, unit="count", source=f"{where}/items"),
            Text(text=", ".join(overlap.data)),
            Number(value=overlap.clean, source=f"{where}/clean"),
            Number(value=overlap.within, source=f"{where}/within"),
        ),
        run=run.candidate,
        tags=(f"candidate={run.candidate}", f"task={overlap.task}"),
    )
