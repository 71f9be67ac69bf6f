"""Reward, divergence and quality of a rewarded run stand in one plot, with their sources."""

from __future__ import annotations

import pytest

from steelyard.harness.records import HeldOutAccuracy, LossPoint, Run
from steelyard.reports.build import build_report
from steelyard.reports.document import Chart, Notice, Number, Table, Text
from tests.reports.fake_runs import fake_experiment


def rewarded(run: Run) -> Run:
    curve = tuple(
        LossPoint(step=step, loss=0.0, metrics={"reward": step / 10, "kl": step / 100})
        for step in (1, 2, 3)
    )
    manifest = run.checkpoint.model_copy(update={"loss_curve": curve})
    return run.model_copy(update={"checkpoint": manifest})


def test_reward_divergence_and_quality_stand_in_one_plot() -> None:
    fake = fake_experiment()
    tuned = next(run for run in fake.runs if run.candidate == "dpo")
    parent = next(r for r in fake.runs if r.checkpoint.digest == tuned.checkpoint.parent)
    runs = [rewarded(run) if run is tuned else run for run in fake.runs]
    document = build_report("t", runs, fake.comparisons, fake.verdicts, baseline="base")
    section = next(section for section in document.sections if section.id == "rewards")
    (chart,) = section.blocks
    assert isinstance(chart, Chart)
    reward, diverged, quality = chart.series
    assert [point.y for point in reward.points] == [0.1, 0.2, 0.3]
    assert [point.y for point in diverged.points] == [0.01, 0.02, 0.03]
    start, end = quality.points
    assert (start.x, end.x) == (0, 3)
    for point, run in ((start, parent), (end, tuned)):
        task, metric = (point.y_source or "").split("/")[-2:]
        score = run.score(task, metric)
        assert score is not None
        assert (point.y, point.y_low) == (score.value, score.low)


def test_a_report_without_rewards_has_no_such_section() -> None:
    fake = fake_experiment()
    document = build_report("t", fake.runs, fake.comparisons, fake.verdicts, baseline="base")
    assert "rewards" not in {section.id for section in document.sections}


def judged(run: Run, accuracy: HeldOutAccuracy | None, trainer: str) -> Run:
    update = {"reward_models": {"judge": accuracy}, "trainer": trainer}
    return run.model_copy(update={"checkpoint": run.checkpoint.model_copy(update=update)})


GOOD = HeldOutAccuracy(value=0.78, low=0.698, high=0.845, n=120)
COIN = HeldOutAccuracy(value=0.52, low=0.43, high=0.61, n=120)


@pytest.mark.parametrize(
    ("accuracy", "warned"),
    [(GOOD, None), (COIN, "not shown to be better than chance"), (None, "of unknown accuracy")],
)
def test_the_plot_says_how_good_the_reward_model_is(
    accuracy: HeldOutAccuracy | None, warned: str | None
) -> None:
    fake = fake_experiment()
    runs = [
        judged(rewarded(run), accuracy, "rloo") if run.candidate == "dpo" else run
        for run in fake.runs
    ]
    document = build_report("t", runs, fake.comparisons, fake.verdicts, baseline="base")
    sections = {section.id: section for section in document.sections}
    blocks = sections["rewards"].blocks
    chart = next(block for block in blocks if isinstance(block, Chart))
    said = accuracy.in_words() if accuracy else "of unknown accuracy"
    assert chart.note is not None and f"Rewarded by 'judge', {said}." in chart.note
    assert "may fall below 0" in chart.note  # RLOO's estimate of the divergence
    assert chart.series[1].name == "KL to the reference (estimate)"
    table = next(block for block in blocks if isinstance(block, Table))
    number = table.rows[0].cells[1]
    assert isinstance(number, Number)
    assert number.value == (accuracy.value if accuracy else None)
    for place in ("rewards", "verdicts"):
        warnings = [b.text for b in sections[place].blocks if isinstance(b, Notice)]
        assert [warned in text for text in warnings if "judge" in text] == [True] * bool(warned)


def test_a_reward_model_that_was_trained_here_stands_in_the_report() -> None:
    fake = fake_experiment()
    judge = fake.runs[1].checkpoint.model_copy(
        update={"candidate": "judge", "trainer": "reward", "held_out_accuracy": GOOD}
    )
    document = build_report(
        "t", fake.runs, fake.comparisons, fake.verdicts, baseline="base", unscored=[judge]
    )
    section = next(section for section in document.sections if section.id == "rewards")
    (table,) = section.blocks
    assert isinstance(table, Table)
    name, accuracy, pairs = table.rows[0].cells
    assert isinstance(name, Text) and name.text == "judge"
    assert isinstance(accuracy, Number)
    assert (accuracy.value, accuracy.low, accuracy.high) == (0.78, 0.698, 0.845)
    assert isinstance(pairs, Number) and pairs.value == 120
