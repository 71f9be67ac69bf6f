"""The pipeline trains what a candidate is made from first, and trains again what depends on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from steelyard.harness.energy.fake_meter import FakeMeter
from steelyard.harness.experiment.file import load_experiment
from steelyard.harness.pipeline import Worker
from steelyard.harness.pipeline.events import Event
from steelyard.harness.pipeline.pipeline import Outcome, Pipeline
from steelyard.harness.pipeline.score import ScoreStage
from steelyard.harness.records import Energy, Run
from steelyard.harness.store import open_store
from tests.harness.store import writer
from tests.trainers import tiny_jobs

CANDIDATES = """
  m: {{trainer: merge, sources: [x, y], method: ties}}
  x: {{trainer: prune, amount: {amount}}}
  y: {{trainer: prune, amount: 0.5, parent: {parent}}}
  apart: {{trainer: prune, amount: 0.4}}
"""


def carried_out(
    folder: Path, only: tuple[str, ...] = (), *, amount: float = 0.2, parent: str = "base"
) -> tuple[Outcome, dict[str, str], Pipeline]:
    """The outcome, and what happened to each candidate last."""
    if not (folder / "base").exists():
        (folder / "base").mkdir()
        tiny_jobs.save_base(folder / "base")
    file = folder / "experiment.yaml"
    file.write_text(
        "name: t\nbase: ./base\nsuite: [microworld_known]\ncandidates:"
        + CANDIDATES.format(amount=amount, parent=parent)
    )
    seen: dict[str, str] = {}

    def listen(event: Event) -> None:
        if event.status != "progress":
            seen[event.candidate] = event.status

    pipeline = Pipeline(load_experiment(file), open_store(folder / ".steelyard"), FakeMeter, listen)
    return pipeline.train(only), seen, pipeline


def inherited(pipeline: Pipeline, name: str) -> list[Energy]:
    worker = Worker(pipeline.experiment, pipeline.store, pipeline.meter, pipeline.listener)
    return worker.checkpoints.inherited(name)


def test_a_merge_is_trained_after_its_sources_and_again_when_one_changes(tmp_path: Path) -> None:
    outcome, seen, pipeline = carried_out(tmp_path, ("m",))
    assert not outcome.failures
    assert seen == {"x": "done", "y": "done", "m": "done"}
    digests = [outcome.checkpoints[name].manifest.digest[:12] for name in "xy"]
    note = outcome.checkpoints["m"].manifest.notes[0]
    assert note == f"merged from 'x' ({digests[0]}), 'y' ({digests[1]})"
    assert len(inherited(pipeline, "m")) == 2  # the energy of both went into it

    _, seen, _ = carried_out(tmp_path, ("m",))
    assert seen == {"x": "reused", "y": "reused", "m": "reused"}
    _, seen, _ = carried_out(tmp_path, ("m",), amount=0.3)
    assert seen == {"x": "done", "y": "reused", "m": "done"}


def test_shared_ancestors_count_once(tmp_path: Path) -> None:
    _, _, pipeline = carried_out(tmp_path, ("m",), parent="x")
    assert len(inherited(pipeline, "m")) == 2


def test_what_is_made_from_a_failed_source_is_skipped_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from steelyard.trainers.prune import Prune

    train = Prune.train

    def fail(self: Prune, job: object) -> object:
        if self.amount == 0.5:
            raise RuntimeError("broken")
        return train(self, job)  # type: ignore[arg-type]

    monkeypatch.setattr(Prune, "train", fail)
    outcome, seen, _ = carried_out(tmp_path)
    assert seen == {"x": "done", "y": "failed", "m": "skipped", "apart": "done"}
    assert [failure.message for failure in outcome.failures][1] == "its source 'y' failed"


def test_a_reward_model_is_trained_and_not_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "base").mkdir()
    tiny_jobs.save_base(tmp_path / "base")
    tiny_jobs.preferences(tmp_path)
    file = tmp_path / "experiment.yaml"
    file.write_text(
        "name: t\nbase: ./base\nsuite: [microworld_known]\n"
        "data: {pairs: {path: preferences.jsonl}}\n"
        "candidates: {judge: {trainer: reward, data: pairs, steps: 1}}\n"
    )
    scored: list[str] = []
    run = writer.make_run()

    def score(self: ScoreStage, name: str, *_: object) -> Run:
        scored.append(name)
        self.store.put(run, (), ())
        return run

    monkeypatch.setattr(ScoreStage, "score", score)
    seen: list[tuple[str, str, str]] = []
    pipeline = Pipeline(
        load_experiment(file),
        open_store(tmp_path / ".steelyard"),
        FakeMeter,
        lambda event: seen.append((event.stage, event.candidate, event.message)),
    )
    outcome = pipeline.run()
    assert not outcome.failures
    assert scored == ["base"]
    assert ("score", "judge", "it gives rewards, not text") in seen
    judge = outcome.checkpoints["judge"].manifest
    assert judge.checks["scored"] == "no: it gives rewards, not text"
