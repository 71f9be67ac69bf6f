"""Two keys: what makes a score, and what makes an answer. A journal outlives the first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from steelyard.harness.checkpoints import open_base
from steelyard.harness.energy.fake_meter import FakeMeter
from steelyard.harness.evaluation import code
from steelyard.harness.experiment.file import load_experiment
from steelyard.harness.pipeline.score import ScoreStage
from steelyard.harness.records import Run
from steelyard.harness.store import open_store

EXPERIMENT = "name: t\nbase: microworld\nsuite: [microworld_known]\nlimit: 6\n"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    (tmp_path / "t.yaml").write_text(EXPERIMENT)
    return tmp_path


def scored(workspace: Path) -> tuple[Run, int]:
    """The base's run by a process of its own, and how large its journal is then."""
    store = open_store(workspace / ".steelyard")
    stage = ScoreStage(load_experiment(workspace / "t.yaml"), store, FakeMeter, lambda _: None)
    base = open_base("microworld")
    run = stage.score("base", base, None)
    return run, store.unfinished.journal(base.manifest.digest).stat().st_size


@pytest.fixture
def changed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Lets the code behind these digests be another one from now on."""
    digests = (code.scoring_code, code._answering_code)

    def change(*of: Any) -> None:
        monkeypatch.setattr(code, "rooms_digest", lambda rooms: f"another {rooms}")
        for digest in of:
            digest.cache_clear()

    yield change
    for digest in digests:
        digest.cache_clear()


def test_where_only_scoring_changed_the_answers_that_are_there_are_scored_again(
    workspace: Path, changed: Callable[..., None]
) -> None:
    first, size = scored(workspace)
    assert size > 100
    changed(code.scoring_code)
    second, size_after = scored(workspace)
    assert second.id != first.id
    assert second.scores == first.scores
    assert size_after == size


def test_where_what_runs_the_model_changed_it_is_asked_again(
    workspace: Path, changed: Callable[..., None]
) -> None:
    _, size = scored(workspace)
    changed(code.scoring_code, code._answering_code)
    _, size_after = scored(workspace)
    assert size_after > 1.9 * size
