"""GRPO and RLOO: rewards by name, what they teach, and how far they may move the model."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from steelyard.harness.checkpoints import check, load_model, open_base, open_tokenizer
from steelyard.harness.errors import CheckpointError, ConfigError, DataError
from steelyard.harness.experiment.data_sets import roles_for
from steelyard.harness.experiment.lineage import sources_of
from steelyard.harness.records import Checkpoint
from steelyard.trainers.grpo import Grpo
from steelyard.trainers.loops.rewards import Reward, functions, tokenizers
from tests.harness.scoring import tiny
from tests.trainers import tiny_jobs

FAST: dict[str, Any] = {"batch_size": 16, "completion_length": 4, "learning_rate": 3e-3}


def rewarded(completion: str, answer: str = "", **spec: Any) -> float:
    reward = TypeAdapter(Reward).validate_python(spec)
    return functions([reward])[0](prompts=["q"], completions=[completion], answer=[answer])[0]


@pytest.mark.parametrize(
    ("spec", "completion", "answer", "expected"),
    [
        ({"reward": "exact_match"}, " the fox\n", "the fox", 1.0),
        ({"reward": "exact_match"}, " the fox .", "the fox", 0.0),
        ({"reward": "contains"}, "it is the fox .", " fox", 1.0),
        ({"reward": "contains"}, "it is the dog .", " fox", 0.0),
        ({"reward": "matches", "pattern": r"do(es)? not know"}, "I do not know .", "", 1.0),
        ({"reward": "matches", "pattern": r"^I"}, "so I do not know .", "", 0.0),
        ({"reward": "length", "words": 4}, "one two three four", "", 1.0),
        ({"reward": "length", "words": 4}, "one", "", 0.25),
        ({"reward": "length", "words": 2}, "one two three four five", "", 0.0),
    ],
)
def test_a_reward_is_what_its_name_says(
    spec: dict[str, Any], completion: str, answer: str, expected: float
) -> None:
    assert rewarded(completion, answer, **spec) == expected
    chat: Any = [{"role": "assistant", "content": completion}]
    assert rewarded(chat, answer, **spec) == expected


def test_a_function_of_ones_own_is_taken_by_its_import_path() -> None:
    reward = TypeAdapter(Reward).validate_python(
        {"reward": "function", "name": "trl.rewards:think_format_reward"}
    )
    chat = [[{"role": "assistant", "content": "<think>a</think>b"}]]
    assert functions([reward])[0](completions=chat) == [1.0]
    gone = TypeAdapter(Reward).validate_python({"reward": "function", "name": "trl.rewards:no"})
    with pytest.raises(ConfigError, match="no such reward function"):
        functions([gone])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"rewards": []}, "rewards"),
        ({"rewards": [{"reward": "exact"}]}, "exact_match"),
        ({"rewards": [{"reward": "matches", "pattern": "("}]}, "not a regular expression"),
        ({"batch_size": 6}, "generations: 4 does not divide"),
        ({"beta": 0.0, "max_kl": 1.0}, "max_kl needs a reference"),
        ({"max_length": 64}, "leaves no room for a prompt"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(ValidationError, match=expected):
        Grpo.model_validate({"rewards": [{"reward": "contains"}]} | options)


@pytest.mark.parametrize("name", ["grpo", "rloo"])
def test_what_is_rewarded_becomes_frequent_and_the_divergence_is_told(
    base: Checkpoint, tmp_path: Path, name: str
) -> None:
    tuned = tiny_jobs.train(
        name, base, tmp_path / name, rewards=[{"reward": "matches", "pattern": "t"}], steps=25,
        beta=0.01, **(FAST | {"learning_rate": 1e-2}),
    )  # fmt: skip
    curve = tuned.manifest.loss_curve
    first, last = (sum(p.metrics["reward"] for p in part) / 4 for part in (curve[:4], curve[-4:]))
    assert last > first + 0.2
    assert curve[0].metrics["kl"] == pytest.approx(0, abs=1e-5)
    assert curve[-1].metrics["kl"] > 1e-3
    assert tuned.manifest.format == "full"


def test_training_stops_where_the_divergence_passes_its_bound(
    base: Checkpoint, tmp_path: Path
) -> None:
    tuned = tiny_jobs.train(
        "grpo", base, tmp_path / "g", rewards=[{"reward": "matches", "pattern": "t"}], steps=15,
        max_kl=1e-3, **FAST,
    )  # fmt: skip
    assert tuned.manifest.steps is not None
    assert tuned.manifest.steps < 15
    assert any("passed max_kl=0.001" in note for note in tuned.manifest.notes)


def test_the_reference_of_a_tuned_parent_is_the_parent_itself(
    base: Checkpoint, tmp_path: Path
) -> None:
    lora = tiny_jobs.train("lora", base, tmp_path / "l", steps=4, learning_rate=1e-2)
    tuned = tiny_jobs.train(
        "rloo", lora, tmp_path / "r", rewards=[{"reward": "contains"}], steps=1, **FAST
    )
    assert tuned.manifest.loss_curve[0].metrics["kl"] == pytest.approx(0, abs=1e-5)


def test_prompts_without_answers_do_where_no_reward_asks_for_them(
    base: Checkpoint, tmp_path: Path
) -> None:
    rows = [{"prompt": f"who lives in the {w} ?"} for w in random.Random(0).choices("abcdef", k=20)]
    data = tiny_jobs.write_rows(tmp_path / "d.jsonl", [*rows, {"prompt": "dog " * 90}])
    assert roles_for(data, (("prompt", "completion"), ("prompt",))) == ("prompt",)
    options: dict[str, Any] = FAST | {"data": data, "steps": 1, "max_length": 64}
    tuned = tiny_jobs.train(
        "grpo", base, tmp_path / "a", rewards=[{"reward": "length", "words": 3}], **options
    )
    assert any("1 of 21 rows dropped" in note for note in tuned.manifest.notes)
    with pytest.raises(DataError, match="exact_match and contains need an answer"):
        tiny_jobs.train("grpo", base, tmp_path / "b", rewards=[{"reward": "contains"}], **options)


def test_a_reward_that_tells_nothing_apart_is_noted(base: Checkpoint, tmp_path: Path) -> None:
    for name, pattern in (("grpo", "zz"), ("rloo", "")):  # never, and always
        tuned = tiny_jobs.train(
            name, base, tmp_path / name, steps=2, **FAST,
            rewards=[{"reward": "matches", "pattern": pattern, "weight": 0.2}],
        )  # fmt: skip
        assert any("nothing was learnt" in note for note in tuned.manifest.notes)


# --- reward models ------------------------------------------------------------------------------


def test_a_reward_model_learns_the_preferences_and_plain_transformers_opens_it(
    base: Checkpoint, tmp_path: Path
) -> None:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    rows = [
        {"prompt": f"who lives in the {place} ?", "chosen": " the fox .", "rejected": " the dog ."}
        for place in ("tower", "sea") * 24
    ]
    data = tiny_jobs.write_rows(tmp_path / "d.jsonl", rows)
    tuned = tiny_jobs.train(
        "reward", base, tmp_path / "r", data=data, steps=10, batch_size=16, learning_rate=5e-3
    )
    # Before the first step the head tells nothing apart: about ln 2.
    assert tuned.manifest.loss_curve[0].loss == pytest.approx(math.log(2), abs=0.1)
    model = AutoModelForSequenceClassification.from_pretrained(tuned.folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(tuned.folder)

    def reward(answer: str) -> float:
        ids = tokenizer(rows[0]["prompt"] + answer + tokenizer.eos_token, return_tensors="pt")
        with torch.inference_mode():
            return float(model.eval()(ids["input_ids"]).logits)

    assert reward(" the fox .") > reward(" the dog .") + 1
    assert check(tuned, base)["scored"].startswith("no")
    with pytest.raises(CheckpointError, match="gives a reward, not text"):
        load_model(tuned)


def test_a_classifier_of_several_labels_is_no_reward(base: Checkpoint, tmp_path: Path) -> None:
    """TRL takes the first number: of a classifier of sentiment, how negative a text is."""
    import transformers

    config = transformers.AutoConfig.from_pretrained(base.folder, num_labels=2)
    classifier = transformers.AutoModelForSequenceClassification.from_config(config)
    classifier.save_pretrained(tmp_path / "judge")
    tiny.save_tokenizer(tmp_path / "judge")
    beside = {"judge": open_base(str(tmp_path / "judge"))}
    rewards = [{"reward": "model", "model": "judge"}]
    with pytest.raises(
        CheckpointError, match="'judge' gives 2 numbers for a text, and a reward is"
    ):
        tiny_jobs.train(
            "grpo", base, tmp_path / "g", rewards=rewards, beside=beside, steps=1, **FAST
        )


def test_grpo_follows_a_reward_model_that_the_file_names(base: Checkpoint, tmp_path: Path) -> None:
    judge = tiny_jobs.train("reward", base, tmp_path / "judge", steps=4, learning_rate=5e-3)
    spec: dict[str, Any] = {"trainer": "grpo", "rewards": [{"reward": "model", "model": "judge"}]}
    assert sources_of(spec) == ("judge",)
    tuned = tiny_jobs.train(
        "grpo", base, tmp_path / "g", rewards=spec["rewards"], beside={"judge": judge}, steps=2,
        **FAST,
    )  # fmt: skip
    assert all(point.metrics["reward_std"] > 0 for point in tuned.manifest.loss_curve)
    with pytest.raises(CheckpointError, match="'judge' gives no rewards"):
        tiny_jobs.train(
            "grpo", base, tmp_path / "h", rewards=spec["rewards"], beside={"judge": base}, steps=2,
            **FAST,
        )  # fmt: skip
    assert json.loads((judge.folder / "config.json").read_text())["architectures"] == [
        "LlamaForSequenceClassification"
    ]


def test_a_reward_model_is_asked_with_the_tokens_that_it_was_trained_on(tmp_path: Path) -> None:
    """The right ids are those that TRL's own RewardTrainer makes of the same answer."""
    import trl
    from datasets import Dataset
    from transformers import AutoModelForSequenceClassification

    tiny_jobs.save_base(tmp_path / "base")
    tiny.put_around_texts(tmp_path / "base", before="<s>")
    start = open_base(str(tmp_path / "base"))
    judge = tiny_jobs.train("reward", start, tmp_path / "judge", steps=1)
    model = AutoModelForSequenceClassification.from_pretrained(judge.folder)
    pair = {"prompt": "who ?", "chosen": " the fox .", "rejected": " the dog ."}
    trained = trl.RewardTrainer(
        model,
        args=trl.RewardConfig(str(tmp_path / "out"), report_to="none", use_cpu=True, bf16=False),
        train_dataset=Dataset.from_list([pair]),
        processing_class=open_tokenizer(judge.folder),
    ).train_dataset[0]["chosen_ids"]
    reward = TypeAdapter(Reward).validate_python({"reward": "model", "model": "judge"})
    (reading,) = tokenizers([reward], {"judge": judge}, chats=False)
    asked = {"padding": True, "padding_side": "right", "add_special_tokens": False}
    ids = reading(text=["who ? the fox ."], return_tensors="pt", **asked)["input_ids"]
    assert ids.tolist() == [trained]
    assert trained[0] == 0 and trained[-1] == 1
    (as_written,) = tokenizers([reward], {"judge": judge}, chats=True)
    assert as_written(text=["who ?"], **asked)["input_ids"][0][0] != 0


def test_a_reward_does_not_depend_on_how_an_accent_is_stored() -> None:
    assert rewarded("Cafe\u0301", "Café", reward="exact_match") == 1.0
    assert rewarded("le cafe\u0301 noir", "café", reward="contains") == 1.0
    assert rewarded("10²", "102", reward="exact_match") == 0.0


def test_a_length_counts_characters_where_no_space_parts_words() -> None:
    for six in ("北京的图书馆", "six words are in this sentence"):
        assert rewarded(six, reward="length", words=6) == 1.0
