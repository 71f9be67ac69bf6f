from __future__ import annotations

import json
from pathlib import Path

import pytest

from steelyard.harness.errors import DataError
from steelyard.harness.experiment.data_sets import check_data, duplicates, read_mix, read_rows
from steelyard.harness.plugins.protocols import DataSource

SFT = ("prompt", "completion")
PAIRS = ("prompt", "chosen", "rejected")


def source(path: Path, text: str | bytes, **columns: str) -> DataSource:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return DataSource("d", path, columns)


def lines(*rows: object) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def refusal(where: DataSource, roles: tuple[str, ...] = SFT) -> str:
    with pytest.raises(DataError) as caught:
        check_data(where, roles)
    assert "\n" not in str(caught.value)
    assert str(where.path) in str(caught.value)
    return str(caught.value)


def test_the_same_rows_come_from_jsonl_csv_tsv_and_parquet(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    rows = [{"q": 'a, "b"', "a": "c\nd"}, {"q": "é", "a": "x"}]
    table = pyarrow.Table.from_pylist(rows)
    pyarrow.parquet.write_table(table, tmp_path / "d.parquet")
    csv = 'q,a\n"a, ""b""","c\nd"\né,x\n'
    found = [
        read_rows(source(tmp_path / "d.jsonl", lines(*rows), prompt="q", completion="a"), SFT),
        read_rows(source(tmp_path / "d.csv", csv, prompt="q", completion="a"), SFT),
        read_rows(DataSource("d", tmp_path / "d.parquet", {"prompt": "q", "completion": "a"}), SFT),
    ]
    assert found == [[{"prompt": r["q"], "completion": r["a"]} for r in rows]] * 3


def test_a_template_joins_columns_and_keeps_braces_of_the_data(tmp_path: Path) -> None:
    row = {"dialogue": "A: {hi}", "n": 3, "summary": "s"}
    where = source(
        tmp_path / "d.jsonl", lines(row), prompt="{dialogue} ({n})\n:", completion="summary"
    )
    assert read_rows(where, SFT) == [{"prompt": "A: {hi} (3)\n:", "completion": "s"}]


def test_chat_messages_pass_through(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "hi"}]
    answer = [{"role": "assistant", "content": "ho"}]
    where = source(tmp_path / "d.jsonl", lines({"prompt": messages, "completion": answer}))
    assert read_rows(where, SFT) == [{"prompt": messages, "completion": answer}]


def test_a_missing_column_names_the_columns_and_the_role_that_needs_it(tmp_path: Path) -> None:
    where = source(tmp_path / "d.jsonl", lines({"dialogue": "x", "summary": "y"}))
    line = refusal(where)
    assert "no column 'prompt', which the role 'prompt' needs" in line
    assert "dialogue, summary" in line


def test_a_template_over_a_missing_column_is_refused(tmp_path: Path) -> None:
    where = source(
        tmp_path / "d.jsonl", lines({"a": "x", "completion": "y"}), prompt="{a} {b.__class__}"
    )
    assert "no column 'b.__class__'" in refusal(where)


def test_a_file_that_is_missing_suggests_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text("{}")
    with pytest.raises(DataError, match=r"did you mean 'train\.jsonl'"):
        check_data(DataSource("d", tmp_path / "trian.jsonl"), SFT)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("d.jsonl", "", "the file is empty"),
        ("d.jsonl", "\n\n", "no rows"),
        ("d.csv", "prompt,completion\n", "no rows"),
        ("d.jsonl", '{"prompt": "a", "completion": "b"}\n{"prompt"\n', "line 2 is not JSON"),
        ("d.jsonl", '["a"]\n', "line 1 is not a JSON object"),
        ("d.txt", "a", "unknown kind of data file"),
        ("d.jsonl", b"\xff\xfe\x00", "not UTF-8"),
        ("d.csv", "prompt,completion\na,b,c\n", "line 2 has not as many cells"),
        ("d.parquet", "nope", "not Parquet"),
        ("d.jsonl", '{"prompt": "a", "completion": 3}\n', "neither text nor chat messages"),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(
    tmp_path: Path, name: str, text: str | bytes, expected: str
) -> None:
    assert expected in refusal(source(tmp_path / name, text))


def test_empty_values_are_counted(tmp_path: Path) -> None:
    good = {"prompt": "a", "completion": "b"}
    bad = {"prompt": "a", "completion": " "}
    gone = {"prompt": "a", "completion": None}
    line = refusal(source(tmp_path / "d.jsonl", lines(good, bad, gone, {"prompt": "a"})))
    assert "3 of 4 rows have an empty completion (first: line 2)" in line


def test_a_preference_between_equal_answers_is_refused(tmp_path: Path) -> None:
    pair = {"prompt": "p", "chosen": "a", "rejected": "b"}
    where = source(tmp_path / "d.jsonl", lines(pair, pair | {"rejected": "a"}))
    line = refusal(where, PAIRS)
    assert "chosen equals rejected in 1 of 2 rows (first: line 2)" in line


def test_weights_repeat_a_source_and_a_part_of_it_by_the_seed(tmp_path: Path) -> None:
    rows = [{"prompt": str(i), "completion": "x"} for i in range(10)]
    path = source(tmp_path / "d.jsonl", lines(*rows)).path
    mix = read_mix([DataSource("d", path, weight=2.5)], SFT, seed=3)
    assert len(mix) == 25
    assert duplicates(mix) == 15
    assert mix == read_mix([DataSource("d", path, weight=2.5)], SFT, seed=3)
    assert mix != read_mix([DataSource("d", path, weight=2.5)], SFT, seed=4)


def test_real_training_data_is_read(real_data: Path) -> None:
    dialogues = DataSource(
        "d",
        real_data / "dialogsum" / "dev.jsonl",
        {"prompt": "{dialogue}\n\nSummary:", "completion": " {summary}"},
    )
    rows = read_rows(dialogues, SFT)
    assert len(rows) == 500
    assert rows[0]["prompt"].endswith("\n\nSummary:")
