"""A task's own data files are asked as they stand, and as they stand now."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from steelyard.harness.suites.build import build
from steelyard.harness.suites.built import BuiltTask
from steelyard.harness.suites.suite import load_suite

TASK = """\
task: mine
dataset_path: {builder}
dataset_kwargs: {{data_files: {{test: "{file}"}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{q}}}}"
doc_to_target: "{{{{a}}}}"
metric_list:
  - {{metric: exact_match, aggregation: mean, higher_is_better: true}}
"""


def mine(folder: Path, builder: str, file: Path, data: Path | None = None) -> BuiltTask:
    tasks = folder / "tasks"
    tasks.mkdir(exist_ok=True)
    (tasks / "mine.yaml").write_text(TASK.format(builder=builder, file=file))
    entry = {"task": "mine", **({} if data is None else {"data": {"path": str(data)}})}
    suite = load_suite({"tasks": [entry], "include": [str(tasks)]}, folder=folder)
    return build(suite).tasks[0]


def targets(task: BuiltTask) -> list[str]:
    return [str(task.task.doc_to_target(document)) for document in task.documents]


def test_a_cell_of_a_csv_file_is_its_text(tmp_path: Path) -> None:
    # pandas' defaults make None, None, None and 1.0 of the first, and 7 and 0.5 of the second
    # (huggingface/datasets #4467, IBM/unitxt #700, confident-ai/deepeval #3298).
    words, numbers = tmp_path / "words.csv", tmp_path / "numbers.csv"
    words.write_text("q,a\ncode of Namibia?,NA\nwhat is nothing?,None\nand null?,null\none?,1\n")
    numbers.write_text("q,a\nagent?,007\nhalf?,0.50\n")
    assert targets(mine(tmp_path, "csv", words)) == ["NA", "None", "null", "1"]
    assert targets(mine(tmp_path, "csv", numbers)) == ["007", "0.50"]


def test_a_column_of_plain_whole_numbers_stays_one_of_numbers(tmp_path: Path) -> None:
    file = tmp_path / "plain.csv"
    file.write_text("q,a\nx,1\ny,0\n")
    assert [document["a"] for document in mine(tmp_path, "csv", file).documents] == [1, 0]


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_a_file_that_changed_behind_its_time_is_read_anew(tmp_path: Path, suffix: str) -> None:
    # huggingface/datasets #2956. Same path, time and size: datasets alone gives "one" twice.
    file = tmp_path / f"data{suffix}"
    digests = set()
    for answer in ("one", "two"):
        lines = "".join(json.dumps({"q": f"q{i}", "a": answer}) + "\n" for i in range(3)).encode()
        file.write_bytes(gzip.compress(lines, mtime=0) if suffix.endswith(".gz") else lines)
        os.utime(file, (1_700_000_000, 1_700_000_000))
        task = mine(tmp_path, "json", file)
        assert targets(task) == [answer] * 3
        digests.add(task.data_digest)
    assert len(digests) == 2


def test_a_whole_number_beside_a_fraction_is_asked_as_it_is_written(tmp_path: Path) -> None:
    # Arrow has one type a column: 1 beside 2.5 would be asked as 1.0.
    own, named = tmp_path / "own.jsonl", tmp_path / "named.csv"
    own.write_text('{"q": "a", "a": 1}\n{"q": "b", "a": 2.5}\n{"q": "c", "a": null}\n')
    named.write_text("q,a\nx,y\n")
    assert targets(mine(tmp_path, "csv", named, own))[:2] == ["1", "2.5"]
