"""Keys within objects as columns, lists of objects, and exact match of a table's own texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from steelyard.harness.errors import DataError
from steelyard.harness.imports import ItemColumns, MetricColumn, read_items
from tests.harness.imports.conftest import Steelyard

PAIR = ItemColumns(equals=("said", "right"))


def lines(folder: Path, rows: list[dict[str, Any]]) -> Path:
    (folder / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "t.jsonl"


def nested() -> list[dict[str, Any]]:
    return [{"meta": {"id": f"q{n}", "of": {"unit": "a"}}, "s": {"acc": n % 2}} for n in range(4)]


COLUMNS = ItemColumns(
    id="meta.id", cluster="meta.of.unit", metrics=(MetricColumn("acc", ("s.acc",)),)
)


def test_a_key_within_an_object_is_a_column(tmp_path: Path) -> None:
    imported = read_items(lines(tmp_path, nested()), COLUMNS)
    assert imported.run.scores[0].value == 0.5
    assert {sample.cluster for sample in imported.samples} == {"a"}
    (tmp_path / "t.json").write_text(json.dumps(nested(), indent=1))
    of_list = read_items(tmp_path / "t.json", COLUMNS)
    assert of_list.rows[0].sample_ids == imported.rows[0].sample_ids


def test_a_key_written_with_its_dot_comes_first_in_every_row(tmp_path: Path) -> None:
    rows = [{**row, "s.acc": 1} for row in nested()]
    assert read_items(lines(tmp_path, rows), COLUMNS).run.scores[0].value == 1
    # One row lacks it: that cell is empty, and not taken from elsewhere.
    del rows[2]["s.acc"]
    with pytest.raises(DataError, match=r"'s\.acc' is empty \(1 of 4 rows\)"):
        read_items(lines(tmp_path, rows), COLUMNS)


def test_a_row_without_the_key_is_refused_by_its_line(tmp_path: Path) -> None:
    rows = nested()
    rows[1]["s"] = None
    with pytest.raises(DataError, match=r"line 2.*'s\.acc' is empty"):
        read_items(lines(tmp_path, rows), COLUMNS)
    with pytest.raises(DataError, match=r"no column 'meta\.idd'"):
        read_items(lines(tmp_path, nested()), ItemColumns(id="meta.idd", metrics=COLUMNS.metrics))


def test_exact_match_is_computed_from_two_columns(tmp_path: Path) -> None:
    pairs = [("Paris", "Paris"), (" Paris ", "Paris"), ("paris", "Paris"), ("", "x"), (4.0, "4")]
    rows = [
        {"id": n, "said": said, "right": right, "k": 3} for n, (said, right) in enumerate(pairs)
    ]
    imported = read_items(lines(tmp_path, rows), PAIR)
    (score,) = imported.run.scores
    assert (score.metric, score.value, score.kind) == ("exact_match", 0.6, "accuracy")
    assert imported.rows[0].values[:, 0].tolist() == [1, 1, 0, 0, 1]
    assert imported.samples[1].target == "Paris" and imported.samples[1].responses == (" Paris ",)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"said": None, "right": "x"}, r"line 2.*'said' is missing.*leave the item out"),
        ({"said": "x", "right": " "}, r"line 2.*'right' is empty"),
        ({"said": ["x"], "right": "x"}, r"line 2.*'said' is no text and no number"),
        ({"said": "x", "right": "x", "exact_match": 1}, r"'exact_match' is there already"),
    ],
)
def test_what_cannot_be_matched_is_refused(
    tmp_path: Path, row: dict[str, Any], problem: str
) -> None:
    rows = [{"id": 1, "said": "x", "right": "x"}, {"id": 2, **row}]
    with pytest.raises(DataError, match=problem):
        read_items(lines(tmp_path, rows), PAIR)


def test_the_command_takes_both(steelyard: Steelyard) -> None:
    rows = [{"m": {"id": n, "said": "a", "right": "ab"[n % 2]}} for n in range(6)]
    path = lines(Path(), rows)
    done = steelyard("import", "items", path, "--id", "m.id", "--equals", "m.said,m.right")
    assert done.code == 0 and "6 samples" in done.out, done.err
    wrong = steelyard("import", "items", path, "--id", "m.id", "--equals", "said")
    assert wrong.code == 2 and "--equals prediction,answer" in wrong.err
