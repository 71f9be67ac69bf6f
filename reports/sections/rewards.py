"""Reward hacking, made visible: reward, divergence from the reference, and quality in one plot.

A policy that is optimised against a reward moves away from where it started, and beyond some
divergence the reward keeps rising while what it stands for falls [Gao et al. 2022, "Scaling laws
for reward model overoptimization", arXiv 2210.10760].
"""

from __future__ import annotations

from collections.abc import Sequence

from steelyard.harness.records import Run, Score
from steelyard.reports.document import Axis, Chart, Point, Section, Series
from steelyard.reports.material import Material, MetricKey
from steelyard.reports.sections.tradeoffs import gain_metric
from steelyard.reports.words import metric_title, plain, task_title

REWARD, DIVERGED = "reward", "kl"


def rewards_section(material: Material) -> Section | None:
    """One plot for each run that was trained on rewards."""
    rewarded = [
        run
        for run in material.runs
        if any(REWARD in point.metrics for point in run.checkpoint.loss_curve)
    ]
    if not rewarded:
        return None
    gain = gain_metric(material)
    return Section(
        id="rewards",
        title="What was rewarded, and what it did",
        short="Rewards",
        lead="A reward that rises while the quality falls is a reward that is being gamed.",
        blocks=tuple(_chart(material, run, gain) for run in rewarded),
    )


def _chart(material: Material, run: Run, gain: MetricKey | None) -> Chart:
    reward = _curve(run, REWARD)
    diverged = _curve(run, DIVERGED)
    parent = next((r for r in material.runs if r.checkpoint.digest == run.checkpoint.parent), None)
    last = float(run.checkpoint.loss_curve[-1].step)
    quality = _quality(gain, ((parent, 0.0), (run, last)))
    name = f"{task_title(gain.task)}: {metric_title(gain.metric)}" if gain else "quality"
    lines = (("reward", reward), ("KL to the reference", diverged), (name, quality))
    ends = "; ".join(f"{title} {_ends(points)}" for title, points in lines if points)
    return Chart(
        id=f"reward-{material.slot(run)}",
        caption=f"{run.candidate}: reward, divergence and quality",
        kind="line",
        x=Axis(title="step"),
        y=Axis(title="reward, KL in nats per token, quality"),
        series=tuple(
            Series(name=title, points=tuple(points), slot=slot)
            for slot, (title, points) in enumerate(lines)
            if points
        ),
        alternative=f"{run.candidate} over its steps: {ends}.",
        note=None if quality else "Its parent was not scored, so its quality has no beginning.",
    )


def _curve(run: Run, metric: str) -> list[Point]:
    return [
        Point(
            x=float(point.step),
            y=point.metrics[metric],
            y_source=f"runs/{run.id}/checkpoint/loss_curve/{index}/{metric}",
        )
        for index, point in enumerate(run.checkpoint.loss_curve)
        if metric in point.metrics
    ]


def _quality(gain: MetricKey | None, at: Sequence[tuple[Run | None, float]]) -> list[Point]:
    """The parent's quality where training began and the run's where it ended; [] without both."""
    points = []
    for run, step in at:
        score: Score | None = run.score(gain.task, gain.metric) if run and gain else None
        if run is None or score is None or score.value is None:
            return []
        source = f"runs/{run.id}/scores/{score.task}/{score.metric}"
        points.append(
            Point(x=step, y=score.value, y_low=score.low, y_high=score.high, y_source=source)
        )
    return points


def _ends(points: Sequence[Point]) -> str:
    return f"from {plain(points[0].y)} to {plain(points[-1].y)}"
