"""Reward, divergence and quality of a rewarded run stand in one plot, with their sources."""

from __future__ import annotations

from steelyard.harness.records import LossPoint, Run
from steelyard.reports.build import build_report
from steelyard.reports.document import Chart
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
