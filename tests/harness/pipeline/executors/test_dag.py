"""A large graph costs little beside its work; benchmarks/dag.py measures the whole of it."""

from __future__ import annotations

import runpy
import time
from pathlib import Path

from steelyard.harness.pipeline import plan
from steelyard.harness.pipeline.executors.inline import Inline

DAG = runpy.run_path(str(Path(__file__).resolve().parents[4] / "benchmarks" / "dag.py"))


def test_a_thousand_stages_are_planned_and_scheduled_in_a_moment(tmp_path: Path) -> None:
    stages, _ = DAG["planned"](tmp_path, 500)
    assert len(stages) == 500 + 501
    began = time.process_time()
    outcomes = list(Inline().run(stages, DAG["IdleWorker"](tmp_path)))
    assert time.process_time() - began < 0.5  # 10 ms a stage would be ten seconds
    assert [one.stage for one in outcomes] == [stage.name for stage in stages]


def test_a_chain_of_two_thousand_candidates_has_a_plan(tmp_path: Path) -> None:
    from steelyard.harness.experiment.file import load_experiment

    lines = ["name: deep", "base: microworld", "suite: [microworld_known]", "candidates:"]
    for number in range(2000):
        parent = f"c{number - 1}" if number else "base"
        lines.append(f"  c{number}: {{trainer: prune, amount: 0.1, parent: {parent}}}")
    (tmp_path / "deep.yaml").write_text("\n".join(lines))
    experiment = load_experiment(tmp_path / "deep.yaml")
    stages = plan(experiment, ["c1999"], scoring=False)
    assert len(stages) == 2000
    assert stages[-1].after == ("train c1998",)
