from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from steelyard.harness.errors import StoreError
from steelyard.harness.scoring.journal import Journal


def test_what_was_appended_is_there_after_reopening(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", "c") as journal:
        journal.append("pack", ["a", "b"], [[-1.5, True], "text \u2028 \x00"])
    with Journal(tmp_path / "j", "c") as journal:
        assert journal.pack("pack") == [[-1.5, True], "text \u2028 \x00"]
        assert journal.pack("other") is None
        assert len(journal) == 2


def test_floats_keep_every_bit(tmp_path: Path) -> None:
    values = [-0.1, -1e-310, -123456.789012345678, float("-inf")]
    with Journal(tmp_path / "j", "c") as journal:
        journal.append("pack", list("abcd"), values)
    with Journal(tmp_path / "j", "c") as journal:
        assert journal.pack("pack") == values


@pytest.mark.parametrize("cut", [1, 5, 20, 60])
def test_a_torn_last_record_is_dropped_and_the_rest_kept(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "j"
    with Journal(path, "c") as journal:
        journal.append("first", ["a"], [1])
        journal.append("second", ["b"], [2])
    os.truncate(path, path.stat().st_size - cut)
    with Journal(path, "c") as journal:
        assert journal.pack("first") == [1]
        assert journal.pack("second") is None
        assert journal.dropped_bytes > 0
        journal.append("second", ["b"], [2])
    with Journal(path, "c") as journal:
        assert journal.pack("second") == [2] and journal.dropped_bytes == 0


def test_a_flipped_bit_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with Journal(path, "c") as journal:
        journal.append("first", ["a"], [1])
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with Journal(path, "c") as journal:
        assert journal.pack("first") is None


def test_the_first_settled_value_stands(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", "c") as journal:
        assert journal.settle("budget", 4096) == 4096
    with Journal(tmp_path / "j", "c") as journal:
        assert journal.settle("budget", 512) == 4096


def test_another_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("these are my notes")
    with pytest.raises(StoreError, match="not a journal"):
        Journal(path, "c")
    assert path.read_text() == "these are my notes"


def _append_many(path: Path, name: str, count: int) -> None:
    with Journal(path, "c") as journal:
        for index in range(count):
            journal.append(f"{name}-{index}", [f"{name}{index}"], [index])


def test_two_processes_on_one_journal_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "j"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_append_many, args=(path, n, 300)) for n in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    with Journal(path, "c") as journal:
        assert len(journal) == 600 and journal.dropped_bytes == 0
        assert journal.pack("a-299") == [299] and journal.pack("b-0") == [0]


def test_a_killed_writer_loses_at_most_the_record_it_was_writing(tmp_path: Path) -> None:
    path = tmp_path / "j"
    context = multiprocessing.get_context("fork")
    kept = 0
    for attempt in range(10):
        writer = context.Process(target=_append_many, args=(path, f"w{attempt}", 100_000))
        size = path.stat().st_size if path.exists() else 0
        writer.start()
        while not path.exists() or path.stat().st_size < size + 10_000:
            time.sleep(0.001)
        assert writer.pid is not None
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        with Journal(path, "c") as journal:
            assert len(journal) > kept
            kept = len(journal)


@pytest.mark.slow
def test_a_hundred_thousand_responses_are_read_in_under_three_seconds(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with Journal(path, "c") as journal:
        for pack in range(100_000 // 50):
            keys = [f"{pack * 50 + index:032x}" for index in range(50)]
            journal.append(f"{pack:032x}", keys, [[-12.345678901234, False]] * 50)
    start = time.process_time()
    with Journal(path, "c") as journal:
        assert len(journal) == 100_000
    assert time.process_time() - start < 3


def test_a_journal_of_zeros_is_begun_anew(tmp_path: Path) -> None:
    """A machine that lost its power leaves a file's length without its content."""
    path = tmp_path / "j"
    path.write_bytes(b"\0" * 99)
    with Journal(path, "c") as journal:
        journal.append("pack", ["a"], [1.5])
    with Journal(path, "c") as journal:
        assert journal.pack("pack") == [1.5]
