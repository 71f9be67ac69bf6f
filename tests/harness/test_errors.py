"""Errors are one line that names file, key, value and fix; exit codes have one precedence."""

from __future__ import annotations

from steelyard.harness.errors import (
    ConfigError,
    NotComparableError,
    SteelyardError,
    did_you_mean,
    exit_code_of,
)


def test_an_error_is_one_line_with_file_key_value_and_fix() -> None:
    error = ConfigError(
        "no such\ntrainer", file="a.yaml", key="candidates.x", value="loar", fix="did you"
    )
    assert str(error) == "a.yaml: candidates.x: no such trainer (got 'loar'); did you"


def test_a_huge_value_is_shown_short() -> None:
    assert len(str(SteelyardError("bad", value="x" * 10_000))) < 120


def test_a_near_name_is_offered_before_the_whole_list() -> None:
    assert did_you_mean("loar", ["lora", "full"]) == "did you mean 'lora'?"
    assert did_you_mean("zzz", ["lora", "full"]) == "known: full, lora"


def test_where_several_exit_codes_apply_the_documented_one_wins() -> None:
    assert exit_code_of([0, 4, 1, 3, 2]) == 2
    assert exit_code_of([0, 4, 1, 3]) == 3
    assert exit_code_of([4, 1]) == 1
    assert exit_code_of([0, 4]) == 4
    assert exit_code_of([]) == 0
    assert NotComparableError("x").exit_code == 3
