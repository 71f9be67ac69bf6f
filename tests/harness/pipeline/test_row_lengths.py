"""Rows that cutting would wipe out are counted before a model is loaded."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from steelyard.harness.errors import DataError
from steelyard.harness.experiment.candidates import Candidate
from steelyard.harness.pipeline.row_lengths import lengths_checked
from steelyard.harness.plugins.names import load_plugin
from steelyard.harness.plugins.protocols import DataSource
from steelyard.trainers.loops.launching import Launched
from tests.harness.scoring import tiny
from tests.trainers import tiny_jobs


def candidate(trainer: str, data: DataSource, **options: Any) -> Candidate:
    made = load_plugin("trainers", trainer)(max_length=24, **options)
    return Candidate("c", trainer, made, "base", (data,), 0)


def rows(folder: Path, long_prompts: int, long_answers: int, *, pairs: bool = False) -> DataSource:
    found = []
    for i in range(8):
        prompt = f"{i} " + "dog " * (40 if i < long_prompts else 1)
        answer = " b ." + " fox" * (40 if i >= 8 - long_answers else 1)
        answers = {"chosen": answer, "rejected": " a"} if pairs else {"completion": answer}
        found.append({"prompt": prompt, **answers})
    return tiny_jobs.write_rows(folder / "d.jsonl", found)


@pytest.mark.parametrize(("trainer", "pairs"), [("lora", False), ("dpo", True), ("kto", True)])
def test_wiped_out_and_cut_answers_are_counted(tmp_path: Path, trainer: str, pairs: bool) -> None:
    tiny.save_tokenizer(tmp_path)
    found = lengths_checked(candidate(trainer, rows(tmp_path, 3, 2, pairs=pairs)), tmp_path)
    said = "of 8 rows looked at, max_length=24 cuts the answer in 2 and leaves none in 3"
    assert found == {"row lengths": said}
    assert lengths_checked(candidate(trainer, rows(tmp_path, 0, 0, pairs=pairs)), tmp_path) == {}


def test_nothing_left_to_learn_is_refused_before_a_model_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.save_tokenizer(tmp_path)
    monkeypatch.setitem(sys.modules, "steelyard.harness.checkpoints.model", None)
    with pytest.raises(DataError, match="in every row the prompt alone fills max_length=24"):
        lengths_checked(candidate("full", rows(tmp_path, 8, 0)), tmp_path)


def test_methods_that_sample_their_answers_and_chats_are_left_out(tmp_path: Path) -> None:
    tiny.save_tokenizer(tmp_path)
    data = rows(tmp_path, 8, 0)
    rewards = [{"reward": "length", "words": 3}]
    sampled = candidate("grpo", data, rewards=rewards, completion_length=5)
    assert lengths_checked(sampled, tmp_path) == {}
    turns = [{"role": "user", "content": "dog " * 40}], [{"role": "assistant", "content": "b"}]
    chat = tiny_jobs.write_rows(
        tmp_path / "c.jsonl", [{"prompt": turns[0], "completion": turns[1]}]
    )
    assert lengths_checked(candidate("full", chat), tmp_path) == {}


def test_the_last_answer_of_a_chat_is_counted_as_its_template_writes_it(tmp_path: Path) -> None:
    tiny.save_tokenizer(tmp_path)
    template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    (tmp_path / "chat_template.jinja").write_text(template)
    short, long = "b .", "b ." + " fox" * 40
    chats = []
    for asked, answer in (("dog", short), ("dog", long), ("dog " * 40, short)):
        turns = [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]
        chats.append(turns)
    data = tiny_jobs.write_rows(tmp_path / "c.jsonl", [{"messages": chat} for chat in chats])
    split = [{"prompt": chat[:1], "completion": chat[1:]} for chat in chats]
    said = "of 3 rows looked at, max_length=24 cuts the answer in 1 and leaves none in 1"
    for source in (data, tiny_jobs.write_rows(tmp_path / "s.jsonl", split)):
        assert lengths_checked(candidate("full", source), tmp_path) == {"row lengths": said}


def test_rows_of_a_launched_trainer_are_counted_as_its_own_are(tmp_path: Path) -> None:
    tiny.save_tokenizer(tmp_path)
    plain = candidate("lora", rows(tmp_path, 3, 2))
    launched = Launched(
        trainer="lora", options=plain.trainer.model_dump(mode="json"), accelerate="two.yaml"
    )
    found = lengths_checked(replace(plain, trainer=launched), tmp_path)
    assert found
    assert found == lengths_checked(plain, tmp_path)
