"""`gate --sequential` of a candidate of the policy's own experiment, trained on the test."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from steelyard.harness.cli.verbs.gate_early import SequentialGate
from steelyard.harness.compare import Scored
from steelyard.harness.energy.no_meter import NoMeter
from steelyard.harness.evaluation.evaluating import build, evaluate
from steelyard.harness.experiment.file import load_experiment
from steelyard.harness.gate import load_gate
from steelyard.harness.pipeline.open_models import OpenModels
from steelyard.harness.pipeline.score import ScoreStage
from steelyard.harness.records import Verdict
from steelyard.harness.store import open_store
from steelyard.harness.suites.suite import load_suite
from tests.harness.scored_runs import scored
from tests.harness.toy_suite import Answering, checkpoint, write_suite

EXPERIMENT = """
name: toy
base: microworld
data: {facts: {path: train.jsonl}}
candidates:
  tuned: {trainer: lora, data: facts, steps: 1}
suite: toy.yaml
"""


def test_it_decides_nothing_beside_the_clean_slice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_suite(tmp_path, 72)
    task = tmp_path / "tasks" / "choice.yaml"
    task.write_text(task.read_text().replace(", cluster: topic", ""))
    suite = build(load_suite(str(file), folder=tmp_path))
    questions = [json.loads(line) for line in (tmp_path / "choice.jsonl").open()]
    data = [{"text": f"Q: {q['question']}\nA: {q['choices'][q['gold']]}"} for q in questions[:12]]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in data))
    (tmp_path / "experiment.yaml").write_text(EXPERIMENT)
    experiment = load_experiment(tmp_path / "experiment.yaml")

    model, base = Answering(), checkpoint(tmp_path)
    monkeypatch.setattr(OpenModels, "opened", lambda *_: model)
    found = evaluate(model, suite, checkpoint=base)
    run = scored("base", ()).run.model_copy(
        update={
            "checkpoint": base.manifest,
            "scores": found.scores,
            "signatures": found.signatures,
        }
    )
    baseline = Scored(run, {(r.task, r.metric): r for r in found.rows})
    manifest = base.manifest.model_copy(update={"candidate": "tuned", "digest": "d" * 64})
    tuned = dataclasses.replace(base, manifest=manifest)
    stage = ScoreStage(experiment, open_store(tmp_path / "ws"), NoMeter, lambda _: None)

    def decided(**rule: str) -> Verdict:
        held = {"task": "toy_choice", "margin": 0.2, **rule}
        gate = load_gate({"rules": [held], "scope": "rules"})
        verb = SequentialGate(gate, Path("policy.yaml"), baseline, None, tmp_path)
        return verb._decide("tuned", tuned, suite, stage).outcome.verdict

    found = decided()
    assert found.exit_code == 3
    assert "12 of its 72 items are in the training data (facts)" in found.rules[0].why
    assert decided(slice="in_training_data=no").exit_code == 0
