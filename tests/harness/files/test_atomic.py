"""A file that others may read is the old one or the new one, whatever happens."""

from __future__ import annotations

import errno
import os
import stat
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
