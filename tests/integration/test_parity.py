"""``parity`` from the suite, the file and the call to the tokens, the signature and the journal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import steelyard
from steelyard.harness.errors import ConfigError
from steelyard.harness.suites import load_suite
from tests.harness.scoring import tiny

TASK = {
    "task": "whole",
    "dataset_path": "json",
    "output_type": "loglikelihood_rolling",
    "test_split": "train",
    "doc_to_text": "",
    "doc_to_target": "text",
    "metric_list": [
        {"metric": "bits_per_byte", "aggregation": "bits_per_byte", "higher_is_better": False}
    ],
    "metadata": {"version": 1.0, "steelyard": {"primary": "bits_per_byte"}},
}


@pytest.fixture
def suite(tmp_path: Path) -> dict[str, Any]:
    data = tmp_path / "texts.jsonl"
    data.write_text('{"text": "the quick brown fox"}\n{"text": "who lives in the tower ?"}\n')
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    task = TASK | {"dataset_kwargs": {"data_files": str(data)}}
    (tasks / "whole.yaml").write_text(yaml.safe_dump(task))
    return {"name": "s", "tasks": ["whole"], "include": [str(tasks)]}


def test_two_rules_in_one_workspace_give_two_numbers_that_do_not_compare(
    suite: dict[str, Any], tmp_path: Path
) -> None:
    model = tiny.put_around_texts(tiny.save_llama(tmp_path / "model"), before="<s>")
    place = {"workspace": tmp_path / "w"}
    ours = steelyard.evaluate(model, suite, name="ours", **place)
    theirs = steelyard.evaluate(model, suite | {"parity": "lm-eval"}, name="theirs", **place)
    same = steelyard.evaluate(model, suite, name="same", parity="lm-eval", **place)
    rules = [run.record.signature("whole").parity for run in (ours, theirs, same)]
    assert rules == ["steelyard", "lm-eval", "lm-eval"]
    numbers = [run.record.score("whole", "bits_per_byte").value for run in (ours, theirs, same)]
    assert numbers[0] != numbers[1] == numbers[2]
    comparison = steelyard.compare(ours, theirs, **place)
    assert not comparison.comparable
    assert any("special tokens" in problem for problem in comparison.problems)


def test_a_suite_takes_its_parents_parity_and_refuses_another_word(
    suite: dict[str, Any], tmp_path: Path
) -> None:
    parent = tmp_path / "parent.yaml"
    parent.write_text(yaml.safe_dump(suite | {"parity": "lm-eval"}))
    child = {"extends": str(parent), "tasks": []}
    assert load_suite(child, folder=tmp_path).parity == "lm-eval"
    assert load_suite(child | {"parity": "steelyard"}, folder=tmp_path).parity == "steelyard"
    assert load_suite(child, folder=tmp_path, parity="steelyard").parity == "steelyard"
    with pytest.raises(ConfigError, match="parity"):
        load_suite(suite | {"parity": "lm_eval"}, folder=tmp_path)
