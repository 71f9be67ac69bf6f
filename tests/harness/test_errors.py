"""Errors are one line that names file, key, value and fix; exit codes have one precedence."""

from __future__ import annotations

import errno
import pickle
import sqlite3

import pytest

from steelyard.harness.errors import (
    Collected,
    ConfigError,
    DataError,
    NotComparableError,
    SeveralError,
    SteelyardError,
    did_you_mean,
    exit_code_of,
    is_foreseen,
    located,
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


def test_an_error_gets_its_place_on_the_way_out() -> None:
    lines = {"candidates.lora.rank": 7}
    with (
        pytest.raises(ConfigError) as caught,
        located(file="a.yaml", key="candidates", line_of=lines.get),
        located(key="lora"),
    ):
        raise ConfigError("must be positive", key="rank", value=-1)
    assert str(caught.value) == "a.yaml:7: candidates.lora.rank: must be positive (got -1)"


def test_the_innermost_file_is_the_one_that_is_named() -> None:
    with (
        pytest.raises(DataError) as caught,
        located(file="a.yaml", key="data.x"),
        located(file="x.jsonl"),
    ):
        raise DataError("not JSON", line=3)
    assert str(caught.value) == "x.jsonl:3: not JSON"


def test_every_error_of_a_file_is_told_at_once_in_the_order_of_its_lines() -> None:
    problems = Collected()
    for key, line in (("b", 9), ("a", 2)):
        with problems.of(file="f.yaml", key=key, line_of={"a": 2, "b": 9}.get):
            raise ConfigError("wrong", line=line)
    with problems.of(file="f.yaml"):
        raise NotComparableError("other", line=11)
    with pytest.raises(SeveralError) as caught:
        problems.raise_any()
    assert str(caught.value).splitlines() == [
        "f.yaml:2: a: wrong",
        "f.yaml:9: b: wrong",
        "f.yaml:11: other",
    ]
    assert caught.value.exit_code == 2


def test_an_error_travels_between_processes_with_its_place() -> None:
    error = ConfigError("wrong", file="f.yaml", key="a", line=4, fix="do so")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EFBIG, "File too large"),
        # As safetensors, written in Rust, and SQLite say it; neither gives the system's number.
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
        sqlite3.OperationalError("database or disk is full"),
        FileNotFoundError(errno.ENOENT, "No such file or directory", "data.csv"),
        ConfigError("unknown key"),
    ],
)
def test_a_full_disk_is_foreseen_in_whichever_library_s_words(error: Exception) -> None:
    assert is_foreseen(error)


@pytest.mark.parametrize(
    "error",
    [
        KeyError("space"),
        OSError(errno.EIO, "Input/output error"),
        # What a server, a model or an assertion says is not what the system says.
        RuntimeError("request failed: 403 Permission denied"),
        KeyError("the answer was: No space left on device"),
        AssertionError("File too large"),
        RuntimeError("read: Input/output error (os error 5)"),
    ],
)
def test_what_nobody_can_mend_is_not_foreseen(error: Exception) -> None:
    assert not is_foreseen(error)
