"""Scores in the store stay; what the weights cost is what making them now came to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from steelyard.harness.energy.fake_meter import FakeMeter
from steelyard.harness.experiment.file import load_experiment
from steelyard.harness.pipeline.score import ScoreStage
from steelyard.harness.records import Checkpoint, Energy
from steelyard.harness.store import FolderStore, open_store
from tests.harness.store import writer

KEY = "k"


def energy(seconds: float, phase: Any = "train") -> Energy:
    return Energy(phase=phase, seconds=seconds, energy_kwh=seconds / 1000, grade="measured")


def checkpoint(**changes: Any) -> Checkpoint:
    made: Mapping[str, Any] = {"recipe_digest": "r", "energy": energy(5), **changes}
    manifest = writer.make_manifest("best").model_copy(update=made)
    return Checkpoint(Path(), manifest, Path(), None)


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    """A store in which the winner of two trials has been scored."""
    found = open_store(tmp_path / ".steelyard")
    phases = (energy(5), energy(2, "score"), energy(7, "inherited"))
    run = writer.make_run("best", experiment="t")
    run = run.model_copy(update={"checkpoint": checkpoint().manifest, "energy": phases})
    found.put(run, [writer.make_rows()], ())
    found.stages.finish(f"score-{KEY}", {"run": run.id, "candidate": "best"})
    return found


@pytest.fixture
def stage(store: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ScoreStage:
    (tmp_path / "t.yaml").write_text("name: t\nbase: microworld\nsuite: [microworld_known]\n")
    monkeypatch.setattr(ScoreStage, "_suite", lambda *_: SimpleNamespace())
    monkeypatch.setattr(ScoreStage, "_key", lambda *_: KEY)
    return ScoreStage(load_experiment(tmp_path / "t.yaml"), store, FakeMeter, lambda _: None)


def test_what_was_made_as_before_is_the_run_that_is_there(
    stage: ScoreStage, store: FolderStore
) -> None:
    again = stage.score("best", checkpoint(created_at="2026-02-02"), None, [energy(3), energy(4)])
    assert [run.id for run in store.find()] == [again.id]


def test_more_trials_that_come_to_the_same_winner_are_counted(
    stage: ScoreStage, store: FolderStore
) -> None:
    (first,) = store.find()
    trials = [energy(3), energy(4), energy(6)]
    wider = checkpoint(recipe_digest="wider", notes=("selected 'a' of 3",), energy=energy(8))
    run = stage.score("best", wider, None, trials)
    assert run.id != first.id
    assert run.checkpoint.notes == ("selected 'a' of 3",)
    assert [(e.phase, e.seconds) for e in run.energy] == [
        ("train", 8), ("score", 2), ("inherited", 13)
    ]  # fmt: skip
    assert run.scores == first.scores
    assert store.rows(run.id)[0].sample_ids == store.rows(first.id)[0].sample_ids
    assert store.get("t/best").id == run.id
    assert stage.score("best", wider, None, trials) == run
    assert len(list(store.find())) == 2


def test_a_recipe_that_is_taken_back_is_the_newest_run_again(
    stage: ScoreStage, store: FolderStore
) -> None:
    wider = checkpoint(recipe_digest="wider")
    ids = [stage.score("best", one, None, [energy(7)]).id for one in (checkpoint(), wider) * 2]
    assert len(set(ids)) == 4
    assert store.stages.get(f"score-{KEY}") == {"run": ids[-1], "candidate": "best"}
