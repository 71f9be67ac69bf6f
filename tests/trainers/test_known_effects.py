"""What is known of these methods, found again on the microworld, each with its margin.

A share is of questions whose whole answer is the model's greedy continuation.
"""

from __future__ import annotations

import itertools
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.checkpoints import open_base
from harness.protocols import DataSource
from harness.records import Checkpoint
from harness.scoring import open_model
from tasks.microworld import training
from tasks.microworld.corpus import held_out, pretraining
from tasks.microworld.docs import unknown
from tasks.microworld.lexicon import UNKNOWN
from tasks.microworld.world import Fact, world
from tests.trainers import tiny_jobs

pytestmark = pytest.mark.slow

TUNING: dict[str, Any] = {
    "learning_rate": 5e-4,
    "batch_size": 32,
    "scheduler": "cosine",
    "warmup_ratio": 0.05,
    "max_length": 64,
}


@pytest.fixture(scope="module")
def microworld() -> Checkpoint:
    return open_base("microworld")


def share(checkpoint: Checkpoint, asked: Sequence[tuple[str, str]]) -> float:
    from lm_eval.api.instance import Instance

    scorer = open_model(checkpoint.weights_folder, adapter=checkpoint.adapter_folder)
    requests = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(asked)]
    return sum(greedy for _, greedy in scorer.loglikelihood(requests)) / len(asked)


def questions(facts: Sequence[Fact]) -> list[tuple[str, str]]:
    """In a wording that tuning did not use."""
    return [(fact.question(2), f" {fact.value} .") for fact in facts]


def taught(folder: Path, name: str, facts: Sequence[Fact]) -> DataSource:
    rows = [
        {"prompt": fact.question(form), "completion": f" {fact.value} ."}
        for fact in facts
        for form in training.QUESTION_FORMS_TAUGHT
    ]
    return tiny_jobs.write_rows(folder / f"{name}.jsonl", rows)


def test_kto_lowers_the_made_up_answers_of_a_tuned_model_by_forty_percent(
    microworld: Checkpoint, tmp_path: Path
) -> None:
    training.write(tmp_path)
    facts, preferences = (
        DataSource(name, tmp_path / f"{name}.jsonl") for name in ("facts_b", "preferences")
    )
    full = tiny_jobs.train("full", microworld, tmp_path / "full", data=facts, epochs=16, **TUNING)
    kto = tiny_jobs.train(
        "kto", full, tmp_path / "kto", data=preferences, steps=90, batch_size=24,
        learning_rate=2e-4, max_length=64,
    )  # fmt: skip
    asked = [(row["prompt"], f" {UNKNOWN}") for row in unknown()["test"]]
    made_up = {c.manifest.candidate: 1 - share(c, asked) for c in (microworld, full, kto)}
    assert made_up["base"] < 0.1
    assert made_up["full"] > 0.5
    assert made_up["kto"] <= 0.6 * made_up["full"]


def test_ties_of_two_domains_keeps_more_of_both_than_either_alone(
    microworld: Checkpoint, tmp_path: Path
) -> None:
    facts = world().facts_b
    people = sorted({fact.entity for fact in facts})
    first = set(people[: len(people) // 2])
    one = [fact for fact in facts if fact.entity in first]
    two = [fact for fact in facts if fact.entity not in first]
    sources = {
        name: tiny_jobs.train(
            "full", microworld, tmp_path / name, data=taught(tmp_path, name, told), epochs=12,
            **TUNING,
        )
        for name, told in (("one", one), ("two", two))
    }  # fmt: skip
    ties = tiny_jobs.train(
        "merge", microworld, tmp_path / "ties", beside=sources, sources=["one", "two"],
        method="ties",
    )  # fmt: skip
    # The lesser share of the two domains: what a model keeps of both.
    both = {
        name: min(share(checkpoint, questions(one)), share(checkpoint, questions(two)))
        for name, checkpoint in (*sources.items(), ("ties", ties))
    }
    assert both["ties"] >= max(both["one"], both["two"]) + 0.2
    known = questions(world().facts_a)
    assert share(ties, known) > min(share(source, known) for source in sources.values())


def test_distillation_beats_training_from_scratch_at_equal_steps(
    microworld: Checkpoint, tmp_path: Path
) -> None:
    """By 2% of the loss per word on held-out text, from one random student of 0.14M parameters."""
    import torch
    from lm_eval.api.instance import Instance
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "head_dim": 16}
    config = LlamaConfig.from_pretrained(microworld.folder, **shape)
    config.num_attention_heads = config.num_key_value_heads = 4
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(tmp_path / "student")
    for file in microworld.folder.glob("*token*"):
        shutil.copy(file, tmp_path / "student")
    student = open_base(str(tmp_path / "student"))

    rows = []
    for text in itertools.islice(pretraining(world(), random.Random("distil")), 2000):
        words = text.split(" ")
        rows.append({"prompt": " ".join(words[:2]), "completion": " " + " ".join(words[2:])})
    data = tiny_jobs.write_rows(tmp_path / "texts.jsonl", rows)
    options: dict[str, Any] = TUNING | {
        "steps": 120, "batch_size": 16, "max_length": 96, "learning_rate": 3e-3, "data": data,
    }  # fmt: skip
    scratch = tiny_jobs.train("full", student, tmp_path / "scratch", **options)
    distilled = tiny_jobs.train(
        "distill", student, tmp_path / "d", teacher="t", beside={"t": microworld}, **options
    )
    texts = held_out(world(), 200)

    def loss(checkpoint: Checkpoint) -> float:
        asked = [Instance("loglikelihood_rolling", {}, (text,), i) for i, text in enumerate(texts)]
        found = open_model(checkpoint.weights_folder).loglikelihood_rolling(asked)
        return -sum(found) / sum(len(text.split()) for text in texts)

    assert loss(distilled) < 0.98 * loss(scratch)
