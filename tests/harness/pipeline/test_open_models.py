"""Which models stay open between scorings, and when one is opened anew."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from steelyard.harness.experiment.file import Experiment, load_experiment
from steelyard.harness.pipeline.events import no_listener
from steelyard.harness.pipeline.open_models import OpenModels
from steelyard.harness.records import Checkpoint
from steelyard.harness.store import FolderStore, open_store
from steelyard.harness.suites import Suite
from tests.harness.store import writer

Openings = list[tuple[str, str | None]]
ASKED = Suite(name="asked", tasks=())


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    (tmp_path / "t.yaml").write_text("name: t\nbase: microworld\nsuite: [microworld_known]\n")
    return load_experiment(tmp_path / "t.yaml")


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return open_store(tmp_path / ".steelyard", "")


@pytest.fixture
def openings(monkeypatch: pytest.MonkeyPatch) -> Openings:
    """Which weights were opened, in which dtype; no model is."""
    opened: Openings = []

    def open_model(weights: Path, *, dtype: str | None, **_: Any) -> Any:
        opened.append((weights.name, dtype))
        return SimpleNamespace(scoring_record=lambda: {"weights": weights.name})

    monkeypatch.setattr("steelyard.harness.pipeline.open_models.open_model", open_model)
    return opened


def checkpoint(name: str) -> Checkpoint:
    return Checkpoint(Path(name), writer.make_manifest(name), Path(name), None)


def test_a_child_and_its_parent_stay_open(
    experiment: Experiment, store: FolderStore, openings: Openings
) -> None:
    models = OpenModels(experiment, store, no_listener)
    for name in ("child", "parent", "child", "parent"):
        models.opened(checkpoint(name), ASKED)
    assert openings == [("child", None), ("parent", None)]


def test_the_model_that_was_asked_for_longest_ago_makes_room(
    experiment: Experiment, store: FolderStore, openings: Openings
) -> None:
    models = OpenModels(experiment, store, no_listener)
    for name in ("a", "b", "a", "c", "a", "b"):
        models.opened(checkpoint(name), ASKED)
    assert [name for name, _ in openings] == ["a", "b", "c", "b"]


def test_another_rule_for_special_tokens_is_another_opening(
    experiment: Experiment, store: FolderStore, openings: Openings
) -> None:
    models = OpenModels(experiment, store, no_listener)
    for suite in (ASKED, ASKED.model_copy(update={"parity": "lm-eval"}), ASKED):
        models.opened(checkpoint("base"), suite)
    assert len(openings) == 2


def test_another_dtype_is_another_model(
    experiment: Experiment, store: FolderStore, openings: Openings
) -> None:
    models = OpenModels(experiment, store, no_listener, most=1)
    for dtype in (None, None, "bfloat16", None):
        models.opened(checkpoint("base"), ASKED, dtype)
    assert [dtype for _, dtype in openings] == [None, "bfloat16", None]


def test_a_model_that_is_not_open_has_no_record(
    experiment: Experiment, store: FolderStore, openings: Openings
) -> None:
    models = OpenModels(experiment, store, no_listener)
    base = checkpoint("base")
    models.opened(base, ASKED)
    assert models.scoring_record(base) == {"weights": "base"}
    models.close()
    assert models.scoring_record(base) == {}
