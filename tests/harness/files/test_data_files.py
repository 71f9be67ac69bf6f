"""Data files as people have them: read whole and right, or refused by the line that is wrong.

What is expected is written out by hand, as the standards have it: RFC 4180 (CSV), RFC 8259 (JSON),
Unicode's byte order marks. The reports that a case stands for are named beside it.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from steelyard.harness.errors import DataError
from steelyard.harness.files import cell_text, filled, records


def rows(folder: Path, name: str, content: str | bytes) -> list[tuple[str, Mapping[str, Any]]]:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(records(path))


def refusal(folder: Path, name: str, content: str | bytes) -> str:
    with pytest.raises(DataError) as caught:
        rows(folder, name, content)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(str(folder / name))
    return line


HERE = {"prompt": "Where is it", "completion": "here"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("plain.csv", "prompt,completion\nWhere is it,here\n"),
        ("no_last_line_end.csv", "prompt,completion\nWhere is it,here"),
        ("mark.csv", "\ufeffprompt,completion\nWhere is it,here\n"),  # Excel's "CSV UTF-8"
        ("windows.csv", "prompt,completion\r\nWhere is it,here\r\n"),
        ("mac.csv", "prompt,completion\rWhere is it,here\r"),
        ("blank.csv", "prompt,completion\n\nWhere is it,here\n\n\n"),
        ("german_excel.csv", "prompt;completion\nWhere is it;here\n"),
        ("tabs.csv", "prompt\tcompletion\nWhere is it\there\n"),
        ("excel.csv", "sep=;\nprompt;completion\nWhere is it;here\n"),
        ("UPPER.CSV", "prompt,completion\nWhere is it,here\n"),
        ("utf16.csv", "prompt,completion\nWhere is it,here\n".encode("utf-16")),
        ("utf32.csv", "prompt,completion\nWhere is it,here\n".encode("utf-32")),
        ("packed.csv.gz", gzip.compress(b"prompt,completion\nWhere is it,here\n", mtime=0)),
        ("spaces.csv", "prompt, completion\nWhere is it, here\n   \n"),
        ("spaces_and_quotes.csv", 'prompt, completion\n"Where is it", "here"\n'),
        ("space_at_a_name.csv", "prompt ,completion\nWhere is it,here\n"),
        ("two_marks.csv", "\ufeff\ufeffprompt,completion\nWhere is it,here\n"),
        ("plain.tsv", "prompt\tcompletion\nWhere is it\there\n"),
        ("pretty.json", json.dumps(HERE, indent=2)),  # as jq prints rows
        ("plain.jsonl", json.dumps(HERE) + "\n"),
        ("blank.ndjson", "\n" + json.dumps(HERE) + "\n\n"),
        ("no_last_line_end.jsonl", json.dumps(HERE)),
        ("mark.jsonl", "\ufeff" + json.dumps(HERE) + "\n"),
        ("utf16.jsonl", (json.dumps(HERE) + "\n").encode("utf-16")),
        ("packed.jsonl.gz", gzip.compress(json.dumps(HERE).encode(), mtime=0)),
        ("UPPER.JSONL", json.dumps(HERE)),
        ("list.json", json.dumps([HERE])),
        ("list.jsonl", json.dumps([HERE])),
        ("pretty.json", json.dumps([HERE], indent=2)),
        ("lines.json", json.dumps(HERE) + "\n"),  # what many a train.json of the hub is
    ],
)
def test_one_row_is_the_same_in_every_kind_of_file(
    tmp_path: Path, name: str, content: str | bytes
) -> None:
    assert [dict(row) for _, row in rows(tmp_path, name, content)] == [HERE]


@pytest.mark.parametrize(
    "cell",
    ["007", "1", "1.0", "1e5", "NA", "N/A", "nan", "null", "None", "", "True", "2024-01-02", " a ",
     "9007199254740993", "=1+1", "é", "a\u2028b", "1,5", 'a "b" c', "line one\nline two"],
)  # fmt: skip
def test_no_cell_of_csv_is_read_as_a_number_a_date_or_nothing(tmp_path: Path, cell: str) -> None:
    """pandas reads 007 as 7, "NA" and "null" as missing, and 1 beside a gap as 1.0."""
    quoted = '"' + cell.replace('"', '""') + '"'
    ((_, row),) = rows(tmp_path, "cells.csv", f"id,cell\n1,{quoted}\n")
    assert row["cell"] == cell


def test_a_cell_may_be_longer_than_the_libraries_limit(tmp_path: Path) -> None:
    long = "word " * 30_000  # 150,000 characters; Python's csv stops at 131,072
    ((_, row),) = rows(tmp_path, "long.csv", f'prompt,completion\n"{long}",short\n')
    assert row["prompt"] == long


def test_a_row_is_named_by_the_line_that_it_begins_in(tmp_path: Path) -> None:
    content = 'a,b\n"one\ntwo",x\n\nthree,y\n'
    assert [place for place, _ in rows(tmp_path, "x.csv", content)] == ["line 2", "line 5"]
    listed = '[\n  {"a": 1},\n  {"a": 2}\n]\n'
    assert [place for place, _ in rows(tmp_path, "x.json", listed)] == [
        "row 1, line 2", "row 2, line 3"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        # pandas #22661: an unclosed quote takes in every row to the end of the file.
        ("x.csv", 'p,c\na,b\nWhere,"here\nAnd,there\n', "line 3: a quote is opened and never clos"),
        ("x.csv", 'p,c\nWhere,"here\nAnd,"there"\n', "line 2: a quoted cell begins and ends in l"),
        ("x.csv", 'p,c\n"Where" now,here\n', "line 2: a quoted cell begins, and more text follows"),
        # MaxKB #6756: of two columns of one name the last counts.
        ("x.csv", "p,c,p\na,b,c\n", "line 1: the column 'p' stands twice"),
        ("x.csv", "p,c\na\n", "line 2 has not as many cells as the header (1, 2)"),
        # Without its index's name pandas takes the first cell of every row for an index.
        ("x.csv", "p,c\na,b,\nd,e,\n", "line 2 has not as many cells as the header (3, 2)"),
        ("x.csv", "p,c\na,b\np,c\nd,e\n", "line 3 is the header once more"),
        ("x.csv", "p,c\na\0b,c\n", "line 2 holds a null character"),
        ("x.csv", "p,c\na,b\n".encode("utf-16-le"), "line 1 holds a null character"),
        ("x.csv", "p,c\na,b\nFähre,hier\n".encode("latin-1"), "line 3 is not UTF-8 text"),
        (
            "x.tsv",
            '1\t2\n1\t"Hello\n0\tthere"\n',
            "lines 2 to 3 are one row or 2: a quotation mark",
        ),
        ("x.jsonl", '{"a": 1},\n{"a": 2},\n', "line 1 is not JSON: Extra data (column 9); take"),
        ("x.jsonl", '{"a": 1}{"a": 2},\n', "row 3, line 1 is not JSON: Expecting value"),
        ("x.json", '{\n "a": 1,\n "b": oops}', "not JSON: Expecting value (line 3, column 7)"),
        # pandas' to_json() as it comes, without orient="records".
        ("x.json", '{"p": {"0": "a"}, "c": {"0": "b"}}', "line 1 holds columns, not rows"),
        ("x.jsonl", '{"a": "b"}\n{"a": "b', "line 2 is not JSON: Unterminated string"),
        ("x.jsonl", '{"a": NaN}\n', "line 1 is not JSON: NaN is no JSON; write null"),
        ("x.jsonl", '{"a": -Infinity}\n', "-Infinity is no JSON"),
        ("x.jsonl", '{"a": 1e999}\n', "1e999 is more than a number can hold"),
        ("x.jsonl", '{"a": {"b": 1, "b": 2}}\n', "the key 'b' stands twice"),
        (
            "x.jsonl",
            '{"a": "b"}\n{"q": "a \\ud83d"}\n',
            "line 2: 'q' holds half of a character (\\ud",
        ),
        ("x.jsonl", '{"q": [{"content": "\\uDC00"}]}\n', "'q' holds half of a character (\\udc00"),
        ("x.json", '[{"a": 1},\n {"a": 2},\n]', "row 3, line 3 is not JSON"),
        ("x.json", '[{"a": 1},\n {"a": 2}', "the list does not end after row 2"),
        ("x.json", '[{"a": 1}]\n[{"a": 2}]', "more text follows the list of 1 rows"),
        ("x.json", '[{"a": 1},\n "b"]', "row 2, line 2 is not a JSON object"),
        ("x.json", '{\n "data": []\n}', "one object around a list of rows, 'data'"),
        ("x.xlsx", "PK", "save it as CSV UTF-8"),
        # A quote behind a space quotes nothing: "b" would be learnt with its marks.
        ("x.csv", 'p,c\n"a", "b"\n', "line 2: a space stands in front of a quoted cell"),
        ("x.csv", "p,p ,c\na,b,c\n", "line 1: the column 'p' stands twice"),
        ("x.csv", "\ufeffp,c\na,b\n\ufeffp,c\nd,e\n", "line 3 is the header once more"),
        ("x.csv", gzip.compress(b"p,c\na,b\n", mtime=0), "is gzip, not .csv; call it NAME.csv.gz"),
        ("x.jsonl", b"PAR1\x15\x04", "is Parquet, not .jsonl"),
        ("x.csv", b"PK\x03\x04\x14", "Excel's .xlsx, not .csv"),
        ("x.jsonl.gz", gzip.compress(b'{"a": 1}\n', mtime=0)[:-9], "not gzip, or damaged"),
        ("x.jsonl.gz", '{"a": 1}\n', "not gzip, or damaged"),
        # Not UTF-8 and cut short: the line of the first is looked for in what is damaged.
        (
            "x.jsonl.gz",
            gzip.compress(b"\xff" + b"x" * 90_000, compresslevel=0, mtime=0)[:-9],
            "not gzip, or damaged",
        ),
        ("x.jsonl.zst", "x", "unpack it"),
    ],
)
def test_what_a_lenient_reader_would_guess_at_is_refused_by_its_line(
    tmp_path: Path, name: str, content: str | bytes, expected: str
) -> None:
    assert expected in refusal(tmp_path, name, content)


def test_a_whole_emoji_in_two_escapes_is_a_character(tmp_path: Path) -> None:
    ((_, row),) = rows(tmp_path, "x.jsonl", '{"a": "\\ud83d\\ude00"}\n')
    assert row["a"] == "😀"


def test_results_of_other_tools_may_hold_what_a_model_gave(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    path.write_text('{"value": NaN, "text": "\\ud83d"}\n')
    ((_, row),) = records(path, results=True)
    assert row["value"] != row["value"]
    assert row["text"] == "\ud83d"


def test_pandas_index_has_the_name_that_pandas_gives_it(tmp_path: Path) -> None:
    ((_, row),) = rows(tmp_path, "x.csv", ",prompt,completion\n0,a,b\n")
    assert row == {"Unnamed: 0": "0", "prompt": "a", "completion": "b"}


def test_objects_that_follow_one_another_are_rows_however_many_lines_they_stand_on(
    tmp_path: Path,
) -> None:
    text = '{"a": 1}{"a": 2}\n{\n  "a": 3\n}\n'
    assert rows(tmp_path, "x.json", text) == [
        ("row 1, line 1", {"a": 1}),
        ("row 2, line 1", {"a": 2}),
        ("row 3, line 2", {"a": 3}),
    ]


def test_jsonl_files_one_behind_the_other_bring_their_marks_along(tmp_path: Path) -> None:
    text = '\ufeff{"a": "b"}\n\ufeff{"a": "c"}\n'
    assert [row["a"] for _, row in rows(tmp_path, "x.jsonl", text)] == ["b", "c"]


def test_a_quoted_cell_may_begin_with_a_space_and_a_quote(tmp_path: Path) -> None:
    ((_, row),) = rows(tmp_path, "x.csv", 'p,c\n"a"," ""b"""\n')
    assert row["c"] == ' "b"'


def test_a_float_of_32_bits_is_the_decimal_that_was_stored(tmp_path: Path) -> None:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {"x": pa.array([0.1, None], pa.float32()), "y": np.array([1.1, 2], np.float16)}
    pq.write_table(pa.table(columns), tmp_path / "x.parquet")
    table = [row for _, row in records(tmp_path / "x.parquet")]
    assert table == [{"x": 0.1, "y": 1.1}, {"x": None, "y": 2.0}]
    assert filled("{x} kg", table[0], "row 1") == "0.1 kg"


def test_two_columns_of_one_name_in_parquet_are_refused(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(
        pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"]), tmp_path / "x.parquet"
    )
    with pytest.raises(DataError, match="the column 'a' stands twice"):
        list(records(tmp_path / "x.parquet"))


@pytest.mark.parametrize(
    ("value", "text"),
    [("a", "a"), (None, ""), (3, "3"), (3.0, "3.0"), (0.25, "0.25"), (Decimal("1.50"), "1.50"),
     (10**40, "1" + "0" * 40)],
)  # fmt: skip
def test_what_has_one_spelling_is_that_text(value: object, text: str) -> None:
    assert cell_text(value, "a", "line 1") == text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (True, "is true or false, not text"),
        (["a", "b"], "is a list, not text .*; join it"),
        ({"a": 1}, "is an object, not text"),
        ([{"role": "user", "content": "a"}], "map it as one: `messages: q`"),
        (float("nan"), "is no finite number"),
        (b"a", "is bytes"),
        (datetime(2024, 1, 2, tzinfo=UTC), "is a datetime, not text"),
        (1e22, "several spellings"),
    ],
)
def test_python_s_own_spelling_never_stands_in_a_prompt(value: object, expected: str) -> None:
    with pytest.raises(DataError, match=f"line 7: 'q' {expected}|line 7: 'q' .*{expected}"):
        filled("Say {q} .", {"q": value}, "line 7")


def test_a_template_prints_nothing_for_null_and_for_a_column_that_a_row_lacks() -> None:
    template = "{instruction}\n{input}\nAnswer:"
    assert filled(template, {"instruction": "Name it", "input": None}, "line 1") == (
        "Name it\n\nAnswer:"
    )
    assert filled(template, {"instruction": "Name it"}, "line 1") == "Name it\n\nAnswer:"
