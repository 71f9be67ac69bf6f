"""Few-shot examples: no prompt shows its document the answer, and the others are lm-eval's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from steelyard.harness.errors import SteelyardError
from steelyard.harness.evaluation.evaluating import evaluate
from steelyard.harness.suites import BuiltSuite, build, load_suite
from tests.harness.toy_suite import Answering, checkpoint

TASK = """
task: berths
dataset_path: json
dataset_kwargs: {{data_files: {files}}}
{splits}
output_type: multiple_choice
doc_to_text: "Where does the {{{{ship}}}} lie?"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: gold
num_fewshot: {shots}
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
metadata: {{version: 1.0}}
"""
SHIPS = ["Asta", "Brix", "Cilla", "Dorn", "Edda", "Finn"]


def ship(name: str, id: int = 0) -> dict[str, Any]:
    return {"ship": name, "choices": [f"at the pier of {name}", "at sea"], "gold": 0, "id": id}


def berths(
    folder: Path, splits: str, shots: int = 2, data: dict[str, Any] | None = None, **files: Any
) -> BuiltSuite:
    """The task over ``test``, and whatever other split is given."""
    files = {"test": [ship(name) for name in SHIPS], **files}
    for split, rows in files.items():
        path = folder / f"{split}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    named = json.dumps({split: str(folder / f"{split}.jsonl") for split in files})
    tasks = folder / "tasks"
    tasks.mkdir()
    (tasks / "berths.yaml").write_text(TASK.format(files=named, splits=splits, shots=shots))
    entry = {"task": "berths", **({"data": data} if data else {})}
    return build(load_suite({"include": ["tasks"], "tasks": [entry]}, folder=folder))


def prompts(suite: BuiltSuite) -> dict[str, str]:
    """The ship that is asked for -> its prompt."""
    requests = suite.requests(Answering())["berths"]  # type: ignore[arg-type]
    return {request.doc["ship"]: request.args[0] for request in requests}


def examples(prompt: str) -> list[str]:
    return prompt.split("\n\n")[:-1]


TEST_ONLY = "test_split: test"
FIXED = "test_split: test\nfewshot_config: {{sampler: first_n, samples: {samples}}}"
WAYS: dict[str, dict[str, Any]] = {
    "a test split alone": {"splits": TEST_ONLY},
    "scored on its validation split": {"splits": "validation_split: test\nfewshot_split: test"},
    "one split for both": {"splits": "test_split: test\nfewshot_split: test"},
    "the first of the test split": {
        "splits": "test_split: test\nfewshot_config: {sampler: first_n}"
    },
    "a training split that is the test split": {"splits": "training_split: test\ntest_split: test"},
    "copies under another id": {
        "splits": "test_split: test\nfewshot_split: train",
        "train": [ship(name, id=n + 1) for n, name in enumerate(SHIPS)],
    },
    "copies with shuffled choices and another case": {
        "splits": "test_split: test\nfewshot_split: train",
        "train": [
            {**ship(n), "ship": n.upper(), "choices": ["at  sea", f"at the pier of {n}"], "gold": 1}
            for n in SHIPS
        ],
    },
    "copies with other marks, quotes and characters that nobody sees": {
        "splits": "test_split: test\nfewshot_split: train",
        "train": [
            {**ship(n), "ship": f"“{n}”\u200b,", "choices": [f"at the pier of {n}.", "at sea."]}
            for n in SHIPS
        ],
    },
    "copies with other wrong choices": {
        "splits": "test_split: test\nfewshot_split: train",
        "train": [
            {**ship(n), "choices": ["in dock", f"at the pier of {n}"], "gold": 1} for n in SHIPS
        ],
    },
    "fixed samples that hold a test document": {
        "splits": FIXED.format(samples=json.dumps([ship(n) for n in ("Asta", "Brix", "Gerd")]))
    },
    "one file for both": {
        "splits": "test_split: test\nfewshot_split: few_shot",
        "data": {"path": "test.jsonl", "few_shot": "test.jsonl"},
    },
}


@pytest.mark.parametrize("way", WAYS)
def test_no_prompt_shows_its_document_the_answer(tmp_path: Path, way: str) -> None:
    shown = prompts(berths(tmp_path, **WAYS[way]))
    assert list(shown) == SHIPS
    for name, prompt in shown.items():
        assert prompt.casefold().count(name.casefold()) == 1, prompt
        assert len(examples(prompt)) == 2
        assert len(set(examples(prompt))) == 2


def test_a_sign_between_numbers_makes_another_question(tmp_path: Path) -> None:
    names = ["3 + 5", "3 - 5", "-3 + 5"]
    ships = [ship(name) for name in names]
    shown = prompts(berths(tmp_path, TEST_ONLY, test=ships))
    for name, prompt in shown.items():
        assert sorted(examples(prompt)) == sorted(
            f"Where does the {other} lie? at the pier of {other}"
            for other in names
            if other != name
        )


def test_prompts_without_an_own_answer_are_those_of_lm_eval(tmp_path: Path) -> None:
    from lm_eval.tasks import TaskManager

    shown = prompts(berths(tmp_path, TEST_ONLY))
    manager = TaskManager(include_path=str(tmp_path / "tasks"), include_defaults=False)
    theirs = manager.load(["berths"])["tasks"]["berths"]
    theirs.set_fewshot_seed(1234)
    theirs.build_all_requests()
    theirs_by_ship = {request.doc["ship"]: request.args[0] for request in theirs.instances}
    leaking = [name for name, prompt in theirs_by_ship.items() if prompt.count(name) > 1]
    assert leaking, "lm-eval shows some document its own answer"
    same = [name for name in SHIPS if shown[name] == theirs_by_ship[name]]
    assert same == [name for name in SHIPS if name not in leaking]


def test_a_document_without_enough_other_examples_is_unscored_and_the_rest_is_scored(
    tmp_path: Path,
) -> None:
    samples = json.dumps([ship("Asta"), ship("Gerd")])
    suite = berths(tmp_path, FIXED.format(samples=samples))
    evaluation = evaluate(Answering(), suite, checkpoint=checkpoint(tmp_path))
    (score,) = evaluation.scores
    assert (score.n, score.unscored, score.flags) == (5, 1, {"no other few-shot examples": 1})
    for sample in evaluation.samples:
        assert sample.prompt.count(sample.document["ship"]) == 1


def test_a_pool_that_is_the_test_split_and_no_larger_than_the_examples_is_refused(
    tmp_path: Path,
) -> None:
    suite = berths(tmp_path, TEST_ONLY, shots=6)
    with pytest.raises(SteelyardError, match=r"'berths' shows 6 examples and has too few"):
        suite.requests(Answering())  # type: ignore[arg-type]


def test_more_examples_than_there_are_is_refused_with_how_many_there_are(tmp_path: Path) -> None:
    with pytest.raises(SteelyardError, match=r"shows 4 examples and has 3; .*: 3 or fewer"):
        berths(
            tmp_path,
            "test_split: test\nfewshot_split: train",
            shots=4,
            train=[ship(name) for name in ("Gerd", "Hilla", "Ivo")],
        )


def test_the_examples_that_a_task_chooses_by_index_are_the_ones_shown(tmp_path: Path) -> None:
    """lm-eval 0.4.13 reads `fewshot_indices` and shows others."""
    suite = berths(
        tmp_path,
        "test_split: test\nfewshot_split: train\n"
        "fewshot_config: {sampler: first_n, fewshot_indices: [3, 1]}",
        train=[ship(name) for name in ("Gerd", "Hilla", "Ivo", "Jana")],
    )
    for prompt in prompts(suite).values():
        assert [e.split("the ")[1].split(" ")[0] for e in examples(prompt)] == ["Jana", "Hilla"]


def test_an_index_of_an_example_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SteelyardError, match=r"fewshot_indices: .*has 6 .got 9"):
        berths(tmp_path, "test_split: test\nfewshot_config: {fewshot_indices: [0, 9]}")
