"""Gain against retention, quality against energy and size: what is bought with what."""

from __future__ import annotations

from collections.abc import Callable

from steelyard.harness.records import (
    COST,
    DIVERGENCE,
    LANGUAGE_MODELLING,
    QUALITY,
    RETENTION,
    SUMMARISATION,
    TRANSLATION,
    Run,
)
from steelyard.reports.cells import energy_number, phases, size_number
from steelyard.reports.document import Axis, Block, Chart, Number, Point, Section, Series
from steelyard.reports.material import Material, MetricKey
from steelyard.reports.words import amount, metric_title, task_title

#: Looked through in this order for the metric that stands for the gain.
_GAINS = (QUALITY, SUMMARISATION, TRANSLATION, LANGUAGE_MODELLING)

Measure = Callable[[Run], Number]


def tradeoffs_section(material: Material) -> Section | None:
    """The plots; a Pareto front leaves a point out only where the intervals separate."""
    gain = gain_metric(material)
    if gain is None:
        return None
    retention = next((k for k in _primary_keys(material) if k.family == RETENTION), None)
    quality = _score_measure(gain)
    blocks: list[Block] = []
    if retention is not None:
        blocks.append(
            _chart(
                material,
                "gain-retention",
                "Gain against retention",
                (_axis(gain), quality),
                (_axis(retention), _score_measure(retention)),
            )
        )
    energy = Axis(title="training energy, parents included", unit="kWh", better="lower")
    size = Axis(title="size on disk", unit="bytes", better="lower")
    blocks.append(
        _chart(
            material,
            "quality-energy",
            "Quality against energy",
            (energy, _training_energy),
            (_axis(gain), quality),
        )
    )
    blocks.append(
        _chart(
            material,
            "quality-size",
            "Quality against size",
            (size, size_number),
            (_axis(gain), quality),
        )
    )
    latency = next((k for k in material.metrics() if k.primary and k.family == COST), None)
    if latency is not None:
        blocks.append(
            _chart(
                material,
                "quality-latency",
                "Quality against latency",
                (_axis(latency), _score_measure(latency)),
                (_axis(gain), quality),
            )
        )
    return Section(
        id="tradeoffs",
        title="What was bought, and with what",
        short="Trade-offs",
        lead=(
            "Bars are 95% intervals. A filled mark is on the Pareto front: no other candidate is "
            "better on both axes beyond what the intervals allow. The baseline is the diamond, or, "
            "where it was not trained here and so has no cost, a dashed line."
        ),
        blocks=tuple(blocks),
    )


def _primary_keys(material: Material) -> list[MetricKey]:
    return [k for k in material.metrics() if k.primary and k.family not in (*DIVERGENCE, COST)]


def gain_metric(material: Material) -> MetricKey | None:
    """The first primary metric of the first family that can stand for a gain."""
    primary = _primary_keys(material)
    ranked = [k for family in _GAINS for k in primary if k.family == family]
    return next(iter(ranked or primary), None)


def _axis(key: MetricKey) -> Axis:
    return Axis(
        title=f"{task_title(key.task)}: {metric_title(key.metric)}",
        unit=key.unit,
        better="higher" if key.higher_is_better else "lower",
    )


def _score_measure(key: MetricKey) -> Measure:
    def measure(run: Run) -> Number:
        score = run.score(key.task, key.metric)
        if score is None:
            return Number(value=None)
        source = f"runs/{run.id}/scores/{key.task}/{key.metric}"
        return Number(value=score.value, low=score.low, high=score.high, source=source)

    return measure


def _training_energy(run: Run) -> Number:
    energies = phases(run, "train", "inherited")
    return energy_number(energies) if energies else Number(value=None, unit="kWh")


def _chart(
    material: Material, id_: str, caption: str, x: tuple[Axis, Measure], y: tuple[Axis, Measure]
) -> Chart:
    x_axis, x_of = x
    y_axis, y_of = y
    measured = [(run, x_of(run), y_of(run)) for run in material.runs]
    baseline = material.baseline
    drawn = [
        (run, a, b)
        for run, a, b in measured
        if b.value is not None and (a.value is not None or run.candidate == baseline)
    ]
    drawn_ids = {run.id for run, _, _ in drawn}
    left_out = [run.candidate for run, _, _ in measured if run.id not in drawn_ids]
    note = f"Not drawn, a value is missing: {', '.join(left_out)}." if left_out else None
    series = tuple(
        Series(
            name=run.candidate,
            points=(_point(a, b),),
            slot=material.slot(run),
            emphasis=run.candidate == baseline,
            front=a.value is not None
            and not any(
                _beyond(x_axis, c, a) and _beyond(y_axis, d, b) for o, c, d in drawn if o != run
            ),
        )
        for run, a, b in drawn
    )
    summary = "; ".join(
        f"{run.candidate}: {amount(a.value, a.unit)} and {amount(b.value, b.unit)}"
        for run, a, b in drawn
    )
    return Chart(
        id=id_,
        caption=f"{caption}: {x_axis.title} and {y_axis.title}",
        kind="scatter",
        x=x_axis,
        y=y_axis,
        series=series,
        alternative=f"{x_axis.title} and {y_axis.title} of each candidate. {summary}.",
        note=note,
    )


def _point(x: Number, y: Number) -> Point:
    return Point(
        x=x.value,
        y=y.value,
        x_low=x.low,
        x_high=x.high,
        y_low=y.low,
        y_high=y.high,
        note=x.grade,
        x_source=x.source,
        y_source=y.source,
    )


def _beyond(axis: Axis, number: Number, other: Number) -> bool:
    """Whether ``one`` is better than ``other`` on an axis, beyond the intervals where it has any.

    Without intervals (energy, size) being no worse is enough, so that a cheaper candidate of
    separately better quality dominates, and an equal one cannot.
    """
    sign = -1.0 if axis.better == "lower" else 1.0
    worst = [sign * v for v in (number.value, number.low, number.high) if v is not None]
    best = [sign * v for v in (other.value, other.low, other.high) if v is not None]
    if not worst or not best:
        return False
    has_interval = len(worst) == 3 or len(best) == 3
    return min(worst) > max(best) if has_interval else min(worst) >= max(best)
