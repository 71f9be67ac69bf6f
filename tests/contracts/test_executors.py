"""What every executor promises, built in or from another package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from steelyard.harness.cli.options import open_executor
from steelyard.harness.pipeline.executors.executor import Executor
from steelyard.harness.pipeline.stage import Stage, StageOutcome
from steelyard.harness.plugins.names import load_plugin, plugin_names
from tests.guide_package import PLUGINS
from tests.harness.pipeline.executors.toy import ToyWorker, stage

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(
    params=[
        pytest.param(name, marks=pytest.mark.slow) if name == "ray" else name
        for name in [*plugin_names("executors"), PLUGINS["executors"]]
    ]
)
def executor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Executor:
    if request.param != "ray":
        return open_executor(request.param)
    pytest.importorskip("ray")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # a cluster of its own; its workers find the toys
    return open_executor("ray", workers=2, address="local")


def ended(executor: Executor, folder: Path, stages: list[Stage]) -> list[StageOutcome]:
    worker: Any = ToyWorker(folder)
    return list(executor.run(stages, worker))


def test_each_stage_ends_once_and_after_what_it_follows(executor: Executor, tmp_path: Path) -> None:
    assert isinstance(executor, Executor)
    stages = [stage("a"), stage("b", "a"), stage("c", "a"), stage("d", "b", "c")]
    outcomes = ended(executor, tmp_path, stages)
    assert {one.status for one in outcomes} == {"done"}
    order = [one.stage for one in outcomes]
    assert sorted(order) == [each.name for each in stages]
    for each in stages:
        assert all(order.index(before) < order.index(each.name) for before in each.after)
    assert [len((tmp_path / name).read_text().splitlines()) for name in "abcd"] == [1] * 4


def test_what_fails_by_itself_is_not_tried_again_and_leaves_the_rest_alone(
    executor: Executor, tmp_path: Path
) -> None:
    stages = [stage("fail"), stage("child", "fail"), stage("good")]
    outcomes = {one.stage: one for one in ended(executor, tmp_path, stages)}
    assert {name: one.status for name, one in outcomes.items()} == {
        "train fail": "failed",
        "train child": "skipped",
        "train good": "done",
    }
    assert outcomes["train fail"].message == "by itself"
    assert outcomes["train child"].failed == ("train fail",)
    assert (tmp_path / "fail").read_text().count("\n") == 1
    assert not (tmp_path / "child").exists()


def test_no_stages_are_no_outcomes(executor: Executor, tmp_path: Path) -> None:
    assert ended(executor, tmp_path, []) == []


def test_the_guides_budget_begins_nothing_once_its_minutes_are_over(tmp_path: Path) -> None:
    budget = load_plugin("executors", PLUGINS["executors"])(minutes=0.001)
    outcomes = ended(budget, tmp_path, [stage("sleep"), stage("late"), stage("later", "late")])
    assert [one.status for one in outcomes] == ["done", "failed", "skipped"]
    assert "0.001 minutes are over" in outcomes[1].message
    assert not (tmp_path / "late").exists()
