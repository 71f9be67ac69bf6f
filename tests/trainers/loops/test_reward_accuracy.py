"""A reward model says how good it is on pairs that it never saw; who it rewards passes that on."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from statsmodels.stats.proportion import proportion_confint

from steelyard.harness.records import Checkpoint, HeldOutAccuracy
from steelyard.trainers.loops import early_stop
from tests.trainers import tiny_jobs

ROWS = 60


def distinct(folder: Path) -> Any:
    """Preferences with a prompt each, so that any of them may be held out."""
    rows = [
        {"prompt": f"who lives in tower {i} ? answer :", "chosen": " the fox .",
         "rejected": " the sea ."}
        for i in range(ROWS)
    ]  # fmt: skip
    return tiny_jobs.write_rows(folder / "distinct.jsonl", rows)


def test_its_accuracy_is_that_of_the_stored_model_on_the_pairs_held_out(
    base: Checkpoint, tmp_path: Path
) -> None:
    data = tiny_jobs.preferences(tmp_path)
    judge = tiny_jobs.train("reward", base, tmp_path / "judge", data=data, steps=2, held_out=0.3)
    accuracy = judge.manifest.held_out_accuracy
    assert accuracy is not None
    # The same pairs by hand, through plain transformers and the checkpoint as it is on the disk.
    rows = [json.loads(line) for line in data.path.read_text().splitlines()]
    every = transformers_rows(rows)
    _, held_out = early_stop.split_off(every, 0.3, job_of_seed(0))
    tokenizer = transformers.AutoTokenizer.from_pretrained(judge.folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(judge.folder).eval()

    def reward(row: dict[str, str], answer: str) -> float:
        text = row["prompt"] + row[answer] + tokenizer.eos_token
        with torch.inference_mode():
            return float(model(**tokenizer(text, return_tensors="pt")).logits[0, 0])

    right = sum(reward(row, "chosen") > reward(row, "rejected") for row in held_out)
    assert (accuracy.n, accuracy.value) == (len(held_out), pytest.approx(right / len(held_out)))
    assert accuracy.low <= accuracy.value <= accuracy.high
    assert accuracy.in_words() in judge.manifest.notes


def transformers_rows(rows: list[dict[str, str]]) -> Any:
    import datasets

    return datasets.Dataset.from_list(rows)


def job_of_seed(seed: int) -> Any:
    class Job:
        pass

    job = Job()
    job.seed = seed  # type: ignore[attr-defined]
    return job


def test_no_prompt_is_both_trained_on_and_held_out() -> None:
    rows = transformers_rows([{"prompt": f"p{i % 7}", "chosen": "a"} for i in range(70)])
    trained_on, held_out = early_stop.split_off(rows, 0.2, job_of_seed(1))
    assert len(trained_on) + len(held_out) == 70
    assert len(held_out) >= 14
    assert not set(trained_on["prompt"]) & set(held_out["prompt"])


def test_the_interval_is_wilsons(base: Checkpoint, tmp_path: Path) -> None:
    """Twenty prompts of a pair each, all right: Wilson's 95% interval begins at .839."""
    options: dict[str, Any] = {"held_out": 1 / 3, "learning_rate": 1e-2, "steps": 15}
    judge = tiny_jobs.train("reward", base, tmp_path / "judge", data=distinct(tmp_path), **options)
    accuracy = judge.manifest.held_out_accuracy
    assert accuracy is not None and (accuracy.n, accuracy.value) == (20, 1.0)
    low, high = proportion_confint(20, 20, method="wilson")
    assert (accuracy.low, accuracy.high) == (pytest.approx(low), pytest.approx(high))
    assert not accuracy.shows_nothing


@pytest.mark.parametrize("held_out", [0.1, 0.0])
def test_where_nothing_can_be_held_out_its_accuracy_is_unknown_and_says_why(
    held_out: float, base: Checkpoint, tmp_path: Path
) -> None:
    row = {"prompt": "who ?", "chosen": " the fox .", "rejected": " the sea ."}
    data = tiny_jobs.write_rows(tmp_path / "one.jsonl", [row] * 12)
    judge = tiny_jobs.train(
        "reward", base, tmp_path / "judge", data=data, steps=1, held_out=held_out
    )
    assert judge.manifest.held_out_accuracy is None
    why = "all pairs have one prompt" if held_out else "no pairs were held out"
    assert any(f"accuracy unknown: {why}" in note for note in judge.manifest.notes)


@pytest.mark.parametrize("name", ["grpo", "rloo"])
def test_a_reward_model_no_better_than_chance_is_warned_about(
    name: str, base: Checkpoint, tmp_path: Path
) -> None:
    # A coin chose: nothing in a prompt tells which of the two answers is the better one.
    draw = random.Random(3)
    rows = []
    for i in range(ROWS):
        chosen, rejected = draw.sample([" the fox .", " the sea ."], 2)
        rows.append({"prompt": f"tower {i} ?", "chosen": chosen, "rejected": rejected})
    data = tiny_jobs.write_rows(tmp_path / "coin.jsonl", rows)
    judge = tiny_jobs.train("reward", base, tmp_path / "judge", data=data, steps=1, held_out=0.4)
    accuracy = judge.manifest.held_out_accuracy
    assert accuracy is not None and accuracy.n == 24 and accuracy.shows_nothing
    messages: list[str] = []
    tuned = tiny_jobs.train(
        name, base, tmp_path / "tuned", rewards=[{"reward": "model", "model": "judge"}],
        beside={"judge": judge}, steps=1, completion_length=4, generations=4, batch_size=4,
        progress=lambda done, total, message: messages.append(message),
    )  # fmt: skip
    assert tuned.manifest.reward_models == {"judge": accuracy}
    warning = tuned.manifest.notes[0]
    assert warning == (
        "warning: the reward model 'judge' is not shown to be better than chance: "
        f"{accuracy.in_words()}"
    )
    assert warning in messages


@pytest.mark.parametrize(
    ("right", "n", "nothing"), [(52, 100, True), (60, 100, False), (40, 100, True), (6, 6, False)]
)
def test_what_reaches_down_to_chance_shows_nothing(right: int, n: int, nothing: bool) -> None:
    low, high = proportion_confint(right, n, method="wilson")
    accuracy = HeldOutAccuracy(value=right / n, low=low, high=high, n=n)
    assert accuracy.shows_nothing is nothing
    unknown = HeldOutAccuracy(value=right / n, low=None, high=None, n=n)
    assert unknown.shows_nothing and "too few for an interval" in unknown.in_words()
