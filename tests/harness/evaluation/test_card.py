"""A task says what it asks, how it is measured and what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from steelyard.harness.errors import ConfigError, UnknownNameError
from steelyard.harness.evaluation.card import (
    TaskCard,
    built_suite,
    task_cards,
    task_of_file,
    try_out,
)
from steelyard.harness.evaluation.evaluating import build
from steelyard.harness.suites.suite import load_suite
from tests.harness.toy_suite import write_suite


def cards(folder: Path, **options: object) -> dict[str, TaskCard]:
    suite = build(load_suite(str(folder / "toy.yaml"), folder=folder))
    return {card.task: card for card in task_cards(suite, **options)}  # type: ignore[arg-type]


def test_a_card_says_what_is_asked_and_what_guessing_gives(tmp_path: Path) -> None:
    write_suite(tmp_path)
    card = cards(tmp_path, examples=2)["toy_choice"]
    assert (card.output_type, card.documents, card.few_shot) == ("multiple_choice", 24, 1)
    assert (card.primary, card.chance, card.majority) == ("acc", 0.25, 0.25)
    assert card.requests_per_item == 4
    assert len(card.examples) == 2
    first = card.examples[0]
    assert first.prompt.endswith("Q: What is 0 + 0?\nA:") and first.target in first.choices
    assert card.problems == ()
    assert "log-likelihood" in card.metrics["acc"]


def test_the_cost_counts_every_request_whole(tmp_path: Path) -> None:
    write_suite(tmp_path, documents=4)
    found = cards(tmp_path, count_tokens=lambda text: len(text.split()))
    # "s0 =" is two words; four documents, one request each.
    assert found["toy_translate"].tokens_per_100_items == 200
    assert cards(tmp_path)["toy_translate"].tokens_per_100_items is None


def test_faults_of_the_documents_are_counted(tmp_path: Path) -> None:
    write_suite(tmp_path)
    file = tmp_path / "choice.jsonl"
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    rows += [rows[0], {**rows[1], "choices": ["only"], "gold": 0}]
    del rows[2]["topic"]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = cards(tmp_path)["toy_choice"].problems
    assert "1 of 26 documents are copies of another" in found
    assert "1 of 26 have fewer than two choices: unscored" in found


def test_three_items_are_scored_with_the_microworlds_model() -> None:
    scores, samples = try_out(built_suite("microworld_known"))
    assert len(samples) == 3
    correct = next(score for score in scores if score.metric == "correct")
    assert (correct.value, correct.n, correct.unscored) == (1.0, 3, 0)


def test_a_file_names_its_task_or_says_what_it_lacks(tmp_path: Path) -> None:
    write_suite(tmp_path)
    file = tmp_path / "tasks" / "choice.yaml"
    assert task_of_file(file) == ("toy_choice", tmp_path / "tasks")
    assert built_suite("toy_choice", [str(file.parent)]).tasks[0].name == "toy_choice"
    empty = tmp_path / "empty.yaml"
    empty.write_text("dataset_path: json\n")
    with pytest.raises(ConfigError, match="defines no task"):
        task_of_file(empty)
    with pytest.raises(ConfigError, match="no such file"):
        task_of_file(tmp_path / "gone.yaml")
    with pytest.raises(UnknownNameError, match="did you mean 'microworld_known'"):
        built_suite("microworld_knwn")
