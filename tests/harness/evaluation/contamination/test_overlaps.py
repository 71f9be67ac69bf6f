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


def test_an_item_is_found_in_what_a_template_makes_of_columns_and_in_a_chat_in_a_cell(
    tmp_path: Path,
) -> None:
    """What is learnt is the filled template; no column alone holds the item."""
    suite = build(load_suite(str(write_suite(tmp_path)), folder=tmp_path))
    text = json.loads((tmp_path / "text.jsonl").read_text().splitlines()[20])["text"]
    words = text.split()
    columns = {f"c{n % 7}": "" for n in range(7)}
    columns |= {f"c{n}": word for n, word in enumerate(words[1::2])}
    template = " ".join(w if n % 2 == 0 else f"{{c{n // 2}}}" for n, w in enumerate(words))
    made, plain, chat = (tmp_path / f"{name}.jsonl" for name in ("made", "plain", "chat"))
    made.write_text(json.dumps(columns))
    plain.write_text(json.dumps(columns))
    accented = [{"role": "user", "content": text.replace("e", "é")}]
    chat.write_text(json.dumps({"messages": json.dumps(accented)}))
    found = overlaps(
        suite,
        [
            DataSource("made", made, {"text": template}),
            DataSource("plain", plain),
            DataSource("chat", chat),
        ],
    )
    counts = {row["data"]: row["contaminated"] for row in found if row["task"] == "toy_text"}
    assert counts["made"] >= 1 and counts["chat"] >= 1
    assert counts["plain"] == 0
