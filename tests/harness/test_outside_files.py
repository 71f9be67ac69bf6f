"""What the hour of hostile files found: each is one line now."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.data import records
from harness.errors import ConfigError
from harness.imports.lm_eval_results import number
from harness.suites import load_suite
from harness.yaml_file import read_yaml


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("!!timestamp 9999-99-99alpha: 1\n", "'9999-99-99alpha' is not a timestamp"),
        ("a: !!int ''\n", "'' is not a int"),
        ("a: {b: [!!bool maybe]}\n", "'maybe' is not a bool"),
    ],
)
def test_a_yaml_value_that_is_not_what_its_tag_says_is_named_with_its_line(
    text: str, said: str, tmp_path: Path
) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match="line 1: " + said) as told:
        read_yaml(file)
    assert "\n" not in str(told.value)


def test_a_null_character_in_a_path_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "suite.yaml"
    file.write_text('name: mine\ninclude: "\\0"\ntasks: [microworld_known]\n')
    with pytest.raises(ConfigError, match="a path holds a null character"):
        load_suite(str(file), folder=tmp_path)


def test_a_whole_number_that_no_float_can_hold_stays_text(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"a": 7, "b": 1' + "0" * 400 + "}\n")
    ((_, row),) = records(file)
    assert row["a"] == 7
    assert row["b"] == "1" + "0" * 400


def test_a_number_that_no_float_can_hold_is_no_number() -> None:
    assert number(10**400) is None
