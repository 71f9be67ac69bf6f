"""The suite's items in the experiment's training data, by data source and task."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from steelyard.harness.errors import DataError
from steelyard.harness.evaluation.contamination.overlaps import overlaps
from steelyard.harness.evaluation.evaluating import build
from steelyard.harness.plugins.protocols import DataSource
from steelyard.harness.suites.suite import load_suite
from tests.harness.toy_suite import write_suite


def test_training_on_a_test_item_is_found_where_it_is(tmp_path: Path) -> None:
    suite = build(load_suite(str(write_suite(tmp_path)), folder=tmp_path))
    text = json.loads((tmp_path / "text.jsonl").read_text().splitlines()[20])["text"]
    chat = [
        {"role": "user", "content": "unrelated words entirely"},
        {"role": "user", "content": text},
    ]
    dirty, clean = tmp_path / "dirty.jsonl", tmp_path / "clean.jsonl"
    rows = [{"prompt": "nothing here", "completion": "at all"}, {"messages": chat}]
    dirty.write_text("".join(json.dumps(row) + "\n" for row in rows))
    clean.write_text(json.dumps(rows[0]) + "\n")
    found = overlaps(suite, [DataSource("dirty", dirty), DataSource("clean", clean)])
    counts = {(row["data"], row["task"]): row["contaminated"] for row in found}
    assert counts["dirty", "toy_text"] >= 1
    assert counts["dirty", "toy_choice"] == 0
    assert all(count == 0 for (data, _), count in counts.items() if data == "clean")
    example = next(row["example"] for row in found if row["contaminated"])
    assert example["row"] == 2 and example["share"] == 1.0


def test_data_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    suite = build(load_suite(str(write_suite(tmp_path)), folder=tmp_path))
    with pytest.raises(DataError, match=r"gone\.jsonl"):
        overlaps(suite, [DataSource("gone", tmp_path / "gone.jsonl")])


def test_a_task_that_asks_in_ways_of_its_own_is_looked_for_by_its_texts(tmp_path: Path) -> None:
    suite = build(load_suite(str(write_suite(tmp_path)), folder=tmp_path))
    choice = next(task for task in suite.tasks if task.name == "toy_choice")

    def refuses(_: object) -> str:
        raise NotImplementedError

    choice.task.doc_to_text = refuses
    document = json.loads((tmp_path / "choice.jsonl").read_text().splitlines()[4])
    data = tmp_path / "train.jsonl"
    data.write_text(json.dumps({"text": " ".join([document["question"], *document["choices"]])}))
    found = overlaps(suite, [DataSource("facts", data)])
    counts = {row["task"]: row["contaminated"] for row in found}
    assert counts["toy_choice"] >= 1
