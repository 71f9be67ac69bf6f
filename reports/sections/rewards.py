"""Reward hacking, made visible: reward, divergence from the reference, and quality in one plot.

A policy that is optimised against a reward moves away from where it started, and beyond some
divergence the reward keeps rising while what it stands for falls [Gao et al. 2022, "Scaling laws
for reward model overoptimization", arXiv 2210.10760].
"""

from __future__ import annotations

from collections.abc import Sequence

from steelyard.harness.records import HeldOutAccuracy, Run, Score
from steelyard.reports.document import (
    Axis,
    Block,
    Chart,
    Column,
    Notice,
    Number,
    Point,
    Row,
    Section,
    Series,
    Table,
    Text,
)
from steelyard.reports.material import Material, MetricKey
from steelyard.reports.sections.tradeoffs import gain_metric
from steelyard.reports.words import metric_title, plain, task_title

REWARD, DIVERGED = "reward", "kl"
#: A reward model's name, its accuracy, and where that stands.
_RewardModel = tuple[str, HeldOutAccuracy | None, str]
#: Trainer -> how TRL estimates the divergence from the tokens that it sampled.
_ESTIMATES = {
    "grpo": (
        "The KL is an estimate: the mean of exp(-d) + d - 1 over the sampled tokens, where d is "
        "log p - log p_reference; it is never below 0."
    ),
    "rloo": (
        "The KL is an estimate: the mean of log p - log p_reference over the sampled tokens, which "
        "may fall below 0."
    ),
}


def rewards_section(material: Material) -> Section | None:
    """How good the reward models are, and a plot for each run that was trained on rewards."""
    rewarded = [
        run
        for run in material.runs
        if any(REWARD in point.metrics for point in run.checkpoint.loss_curve)
    ]
    models = _models(material, rewarded)
    if not rewarded and not models:
        return None
    gain = gain_metric(material)
    blocks: list[Block] = list(reward_warnings(material))
    blocks += [_models_table(models)] if models else []
    blocks += [_chart(material, run, gain) for run in rewarded]
    return Section(
        id="rewards",
        title="What was rewarded, and what it did",
        short="Rewards",
        lead="A reward that rises while the quality falls is a reward that is being gamed.",
        blocks=tuple(blocks),
    )


def reward_warnings(material: Material) -> list[Notice]:
    """A warning for each run that a reward model of no proven worth has trained."""
    return [
        Notice(
            level="warning",
            text=f"{run.candidate} was rewarded by '{name}', which is "
            + (
                f"not shown to be better than chance: {accuracy.in_words()}."
                if accuracy is not None
                else "of unknown accuracy: no held-out pairs were measured."
            ),
        )
        for run in material.runs
        for name, accuracy in run.checkpoint.reward_models.items()
        if accuracy is None or accuracy.shows_nothing
    ]


def _models(
    material: Material, rewarded: Sequence[Run]
) -> list[tuple[str, HeldOutAccuracy | None, str]]:
    """Each reward model that was trained or used here."""
    trained = [
        (m.candidate, m.held_out_accuracy, f"checkpoints/{m.digest}/held_out_accuracy")
        for m in material.unscored
        if m.trainer == REWARD
    ]
    names = {name for name, _, _ in trained}
    used = {
        name: (name, accuracy, f"runs/{run.id}/checkpoint/reward_models/{name}")
        for run in rewarded
        for name, accuracy in run.checkpoint.reward_models.items()
        if name not in names
    }
    return [*trained, *used.values()]


def _models_table(models: Sequence[_RewardModel]) -> Table:
    """Each reward model with its accuracy on pairs that it was not trained on."""
    return Table(
        id="reward-models",
        caption="Reward models on held-out pairs",
        columns=(
            Column(title="Reward model"),
            Column(title="Accuracy", detail="chance is .5", numeric=True),
            Column(title="Pairs", numeric=True),
        ),
        rows=tuple(
            Row(
                cells=(
                    Text(text=name),
                    Number(
                        value=accuracy.value if accuracy else None,
                        low=accuracy.low if accuracy else None,
                        high=accuracy.high if accuracy else None,
                        note=None if accuracy else "not measured",
                        source=f"{source}/value" if accuracy else None,
                    ),
                    Number(value=float(accuracy.n) if accuracy else None, unit="count"),
                )
            )
            for name, accuracy, source in models
        ),
    )


def _chart(material: Material, run: Run, gain: MetricKey | None) -> Chart:
    reward = _curve(run, REWARD)
    diverged = _curve(run, DIVERGED)
    parent = next((r for r in material.runs if r.checkpoint.digest == run.checkpoint.parent), None)
    last = float(run.checkpoint.loss_curve[-1].step)
    quality = _quality(gain, ((parent, 0.0), (run, last)))
    name = f"{task_title(gain.task)}: {metric_title(gain.metric)}" if gain else "quality"
    lines = (("reward", reward), ("KL to the reference (estimate)", diverged), (name, quality))
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
        note=" ".join(_notes(run, diverged, quality)) or None,
    )


def _notes(run: Run, diverged: Sequence[Point], quality: Sequence[Point]) -> list[str]:
    """What the lines of the plot are worth."""
    notes = [
        f"Rewarded by '{name}', {accuracy.in_words() if accuracy else 'of unknown accuracy'}."
        for name, accuracy in run.checkpoint.reward_models.items()
    ]
    if diverged and run.checkpoint.trainer in _ESTIMATES:
        notes.append(_ESTIMATES[run.checkpoint.trainer])
    if not quality:
        notes.append("Its parent was not scored, so its quality has no beginning.")
    return notes


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
