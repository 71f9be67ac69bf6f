"""How the checkpoints came about: loss curves and lineage."""

from __future__ import annotations

from steelyard.harness.records import Run
from steelyard.reports.document import Axis, Chart, Lineage, LineageNode, Point, Section, Series
from steelyard.reports.material import Material
from steelyard.reports.words import bytes_, plain


def training_section(material: Material) -> Section | None:
    """The loss of each training run, step by step."""
    trained = [run for run in material.runs if run.checkpoint.loss_curve]
    if not trained:
        return None
    series = tuple(
        Series(
            name=run.candidate,
            slot=material.slot(run),
            points=tuple(
                Point(
                    x=float(p.step),
                    y=p.loss,
                    y_source=f"runs/{run.id}/checkpoint/loss_curve/{index}",
                )
                for index, p in enumerate(run.checkpoint.loss_curve)
            ),
        )
        for run in trained
    )
    ends = "; ".join(
        f"{run.candidate} from {plain(run.checkpoint.loss_curve[0].loss)} to "
        f"{plain(run.checkpoint.loss_curve[-1].loss)}"
        for run in trained
    )
    chart = Chart(
        id="loss",
        caption="Training loss",
        kind="line",
        x=Axis(title="step"),
        y=Axis(title="loss", better="lower"),
        series=series,
        alternative=f"Loss over steps: {ends}.",
        note="Losses of different methods are different quantities; compare a curve with itself.",
    )
    return Section(id="training", title="Training", short="Training", blocks=(chart,))


def lineage_section(material: Material) -> Section:
    """The family tree of the checkpoints."""
    runs = {run.checkpoint.digest: run for run in material.runs}
    roots = [run for run in material.runs if run.checkpoint.parent not in runs]
    lineage = Lineage(
        id="lineage-tree",
        caption="Which checkpoint was made from which",
        roots=tuple(_node(material, run, frozenset()) for run in roots),
    )
    return Section(id="lineage", title="Lineage", short="Lineage", blocks=(lineage,))


def _node(material: Material, run: Run, above: frozenset[str]) -> LineageNode:
    manifest = run.checkpoint
    above = above | {manifest.digest}
    facts = [f"{manifest.format}, {manifest.dtype}", bytes_(manifest.size_bytes)]
    if manifest.parameters_trained:
        facts.append(f"{manifest.parameters_trained:,} parameters trained")
    if manifest.steps:
        facts.append(f"{manifest.steps} steps")
    facts += manifest.notes
    children = tuple(
        _node(material, child, above)
        for child in material.runs
        if child.checkpoint.parent == manifest.digest and child.checkpoint.digest not in above
    )
    return LineageNode(
        name=run.candidate,
        detail=manifest.trainer,
        digest=manifest.digest,
        facts=tuple(facts),
        children=children,
    )
