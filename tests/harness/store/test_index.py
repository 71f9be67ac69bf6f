"""The index is a convenience: lost, damaged, stale or read-only, the answers are the folders'."""

from __future__ import annotations

import shutil
import sqlite3
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from steelyard.harness.store import FolderStore, open_store
from steelyard.harness.store.index import INDEX_VERSION


@pytest.fixture
def store(tmp_path: Path, make: SimpleNamespace) -> FolderStore:
    store = open_store(tmp_path / ".steelyard")
    for name in "abc":
        store.put(make.run(name), [], [])
    assert len(store.runs.summaries()) == 3
    return store


def _names(root: Path) -> list[str]:
    return sorted(summary.candidate for summary in open_store(root).runs.summaries())


def test_a_missing_index_is_made_again(store: FolderStore) -> None:
    store.layout.index.unlink()
    assert _names(store.root) == ["a", "b", "c"]
    assert store.layout.index.is_file()


@pytest.mark.parametrize(
    "damage", [b"", b"not a database at all" * 500, b"SQLite format 3\x00" + b"\xff" * 5000]
)
def test_a_damaged_index_is_made_again(store: FolderStore, damage: bytes) -> None:
    store.layout.index.write_bytes(damage)
    assert _names(store.root) == ["a", "b", "c"]
    assert _names(store.root) == ["a", "b", "c"]


def test_an_index_with_damaged_pages_is_made_again(store: FolderStore) -> None:
    content = bytearray(store.layout.index.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    store.layout.index.write_bytes(content)
    assert _names(store.root) == ["a", "b", "c"]
    assert store.get("e/b").candidate == "b"


def test_an_index_of_another_version_is_made_again(store: FolderStore) -> None:
    with sqlite3.connect(store.layout.index) as connection:
        connection.execute("DROP TABLE runs")
        connection.execute("CREATE TABLE runs (other TEXT)")
        connection.execute(f"PRAGMA user_version = {INDEX_VERSION + 1}")
    connection.close()
    assert _names(store.root) == ["a", "b", "c"]


def test_folders_that_came_or_went_are_noticed(store: FolderStore, make: SimpleNamespace) -> None:
    elsewhere = open_store(store.root.with_name("elsewhere"))
    elsewhere.put(make.run("d"), [], [])
    run_id = make.run("d").id
    shutil.copytree(elsewhere.root / "runs" / run_id, store.root / "runs" / run_id)
    shutil.rmtree(store.root / "runs" / make.run("a").id)
    assert [s.candidate for s in store.runs.summaries()] == ["b", "c", "d"]


def test_a_damaged_run_is_left_out_and_named_by_check(
    store: FolderStore, make: SimpleNamespace
) -> None:
    (store.root / "runs" / make.run("a").id / "run.json").write_text("{")
    store.upkeep.rebuild()
    assert _names(store.root) == ["b", "c"]
    (damage,) = store.upkeep.check()
    assert make.run("a").id in damage


def test_rebuild_counts_the_runs(store: FolderStore) -> None:
    assert store.upkeep.rebuild() == 3


def test_a_read_only_workspace_is_still_read(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root ignores permissions, so the failures themselves are staged: no lock, no database file.
    store.layout.index.unlink()

    def refused(*args: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("steelyard.harness.store.locks.os.open", refused)
    assert [s.candidate for s in store.runs.summaries()] == ["a", "b", "c"]
    assert not store.layout.index.exists()


def test_two_thousand_runs_are_listed_through_the_index(
    store: FolderStore, make: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = store.root / "runs" / make.run("a").id
    text = (template / "run.json").read_text()
    for i in range(2_000):
        folder = store.root / "runs" / f"{i:032x}"
        folder.mkdir()
        new = text.replace(make.run("a").id, folder.name).replace('"e"', f'"e{i % 40}"')
        (folder / "run.json").write_text(new)
    assert len(store.runs.summaries()) == 2_003
    started = time.process_time()
    assert len(store.runs.summaries()) == 2_003
    assert len(list(open_store(store.root).find(experiment="e7"))) == 50
    assert time.process_time() - started < 1.0
