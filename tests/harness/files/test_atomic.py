"""A file that others may read is the old one or the new one, whatever happens."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from steelyard.harness.errors import StoreError
from steelyard.harness.files.atomic import write_atomic


def test_a_file_is_written_whole_with_the_folders_on_the_way(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.txt"
    write_atomic(path, "eins\r\nzwei\n")
    assert path.read_bytes() == b"eins\r\nzwei\n"
    write_atomic(path, b"\xff", durable=False)
    assert path.read_bytes() == b"\xff"
    assert [p.name for p in path.parent.iterdir()] == ["b.txt"]


def test_it_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomic(tmp_path / "x", "")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o640


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "x"
    path.write_text("old")
    monkeypatch.setattr(*{"fsync": (os, "fsync"), "replace": (Path, "replace")}[broken], full)
    with pytest.raises(StoreError) as caught:
        write_atomic(path, "new")
    assert str(caught.value) == (
        f"{path}: cannot write: No space left on device; free some space, or choose another folder"
    )
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_an_interrupted_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "x"
    path.write_text("old")
    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, "new")
    assert (path.read_text(), [p.name for p in tmp_path.iterdir()]) == ("old", ["x"])


def test_where_nothing_may_be_written_the_message_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="file/x: cannot write: "):
        write_atomic(tmp_path / "file" / "x", "")


def test_what_a_killed_write_left_is_taken_over_by_the_next(tmp_path: Path) -> None:
    (tmp_path / ".x.tmp").write_text("half of a longer text")
    write_atomic(tmp_path / "x", "new")
    assert (tmp_path / "x").read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_writers_of_one_file_wait_for_each_other(tmp_path: Path) -> None:
    texts = [str(number) * 100_000 for number in range(8)]
    threads = [
        threading.Thread(
            target=write_atomic, args=(tmp_path / "x", text), kwargs={"durable": False}
        )
        for text in texts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "x").read_text() in texts
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize("kind", ["link", "second name", "pipe"])
def test_what_somebody_put_under_the_temporary_name_is_not_written_to(
    kind: str, tmp_path: Path
) -> None:
    victim, there = tmp_path / "victim", tmp_path / "out" / ".x.tmp"
    victim.write_text("mine")
    there.parent.mkdir()
    if kind == "link":
        there.symlink_to(victim)
    elif kind == "second name":
        there.hardlink_to(victim)
    else:
        os.mkfifo(there)
    write_atomic(there.with_name("x"), "new")
    assert victim.read_text() == "mine"
    assert there.with_name("x").read_text() == "new"
    assert [p.name for p in there.parent.iterdir()] == ["x"]
