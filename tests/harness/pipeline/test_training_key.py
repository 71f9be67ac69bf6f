"""A trained candidate is found again by all that it depends on, and by nothing less."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from steelyard.harness.energy.fake_meter import FakeMeter
from steelyard.harness.experiment.file import load_experiment
from steelyard.harness.pipeline.train import Checkpoints
from steelyard.harness.store import open_store
from steelyard.trainers.grpo import Grpo
from tests.harness import toy_suite
from tests.trainers import tiny_jobs

CANDIDATES = """
  stopped:
    {{trainer: lora, data: {data}, early_stop: {{task: toy_choice, limit: 8, include: [tasks]}}}}
  held: {{trainer: lora, data: {data}, early_stop: {{every: 5}}}}
  best: {{trainer: select, sources: [base], task: toy_choice, limit: 8, include: [tasks]}}
  least: {{trainer: select, sources: [base], data: {data}}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("key")
    (found / "base").mkdir()
    tiny_jobs.save_base(found / "base")
    toy_suite.write_suite(found)
    tiny_jobs.supervised(found)
    return found


def keys(folder: Path, data: str = "d", weight: float = 0.5) -> dict[str, str]:
    file = folder / "t.yaml"
    file.write_text(
        "name: t\nbase: ./base\nsuite: [microworld_known]\n"
        f"data: {{{data}: {{path: supervised.jsonl, weight: {weight}}}}}\n"
        f"candidates:{CANDIDATES.format(data=data)}"
    )
    experiment = load_experiment(file)
    made = Checkpoints(experiment, open_store(folder / ".steelyard"), FakeMeter, lambda _: None)
    return {candidate.name: made.key(candidate) for candidate in experiment.candidates}


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before if before[name] != after[name]}


def test_what_is_chosen_by_a_task_is_made_again_where_the_task_changes(folder: Path) -> None:
    first = keys(folder)
    assert changed(first, keys(folder)) == set()
    documents = folder / "choice.jsonl"
    rows = [json.loads(line) for line in documents.read_text().splitlines()]
    documents.write_text(
        "".join(json.dumps({**r, "question": r["question"] + "?"}) + "\n" for r in rows)
    )
    second = keys(folder)
    assert changed(first, second) == {"stopped", "best"}
    task = folder / "tasks" / "choice.yaml"
    task.write_text(task.read_text().replace("Q: ", "Question: "))
    assert changed(second, keys(folder)) == {"stopped", "best"}


def test_code_that_scores_is_part_of_every_choice_by_a_score(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = keys(folder)
    monkeypatch.setattr("steelyard.harness.evaluation.code.scoring_code", lambda: "other code")
    assert changed(first, keys(folder)) == {"stopped", "best", "least"}


def test_the_name_of_a_data_set_that_seeds_its_draw_and_its_rows_are_part(folder: Path) -> None:
    first = keys(folder)
    assert changed(first, keys(folder, data="e")) == {"stopped", "held", "least"}
    rows = folder / "supervised.jsonl"
    kept = rows.read_text()
    rows.write_text("".join(kept.splitlines(keepends=True)[1:]))
    assert changed(first, keys(folder)) == {"stopped", "held", "least"}
    rows.write_text(kept)


def test_the_code_of_a_reward_function_is_part_of_its_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    module = tmp_path / "own_reward_of_a_team.py"
    module.write_text("def short(completions, **_):\n    return [1.0 for _ in completions]\n")
    reward: dict[str, Any] = {"reward": "function", "name": "own_reward_of_a_team:short"}
    trainer = Grpo(rewards=(reward,))
    first = trainer.content_digest()
    assert trainer.content_digest() == first
    module.write_text(module.read_text().replace("1.0", "0.0"))
    assert trainer.content_digest() != first
    missing = Grpo(rewards=({**reward, "name": "no.such.module:short"},))
    assert missing.content_digest() == [None, [["no.such.module:short", None]]]
    assert Grpo(rewards=({"reward": "length", "words": 3},)).content_digest() is None
