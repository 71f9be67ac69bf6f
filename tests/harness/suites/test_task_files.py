"""A task's YAML is read by lm-eval; what it says for our reports is checked by us, with lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from steelyard.harness.errors import SteelyardError
from steelyard.harness.suites.build import build
from steelyard.harness.suites.suite import load_suite

TASK = """\
task: mine
dataset_path: json
dataset_kwargs: {data_files: {test: FOLDER/mine.jsonl}}
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
process_docs: !function mine.same
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true}
metadata:
  version: 1.0
  steelyard:
    famly: quality
    chance: often
"""


def test_every_mistake_in_a_tasks_metadata_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text('{"question": "a", "answer": "b"}\n')
    (tmp_path / "mine.py").write_text("def same(documents):\n    return documents\n")
    file = tmp_path / "mine.yaml"
    file.write_text(TASK.replace("FOLDER", str(tmp_path)))
    suite = load_suite({"tasks": ["mine"], "include": [str(tmp_path)]}, folder=tmp_path)
    with pytest.raises(SteelyardError) as caught:
        build(suite)
    first, second = str(caught.value).splitlines()
    assert first.startswith(f"{file}:14: metadata.steelyard.famly: unknown key; did you mean 'fam")
    assert second.startswith(f"{file}:15: metadata.steelyard.chance: input should be a valid num")


def test_what_yaml_makes_of_a_plain_word_or_number_is_told_before_it_is_asked(
    tmp_path: Path,
) -> None:
    # lm-eval 0.4.13 reads these as 8 examples and as the choices True and False.
    file = tmp_path / "mine.yaml"
    file.write_text(
        "task: mine\nnum_fewshot: 010\noutput_type: multiple_choice\n"
        'doc_to_choice: [yes, no, "off"]\n'
    )
    suite = load_suite({"tasks": ["mine"], "include": [str(tmp_path)]}, folder=tmp_path)
    with pytest.raises(SteelyardError) as caught:
        build(suite)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith(f"{file}:2: '010' is a number in another base to YAML; write 10")
    assert lines[1].startswith(f"{file}:4: doc_to_choice: YAML reads the choice yes as a truth val")
    assert lines[2].endswith('write "no" in quotes')
    assert len(lines) == 3
