"""What a newer Steelyard wrote is named, and stays as it is to the byte, whatever is called."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from steelyard.harness.checkpoints import open_checkpoint
from steelyard.harness.compare import Scored, baseline_file
from steelyard.harness.errors import DataError, NewerVersionError, StoreError
from steelyard.harness.store import FolderStore, copy_runs, open_store


@pytest.fixture
def store(tmp_path: Path, make: SimpleNamespace) -> FolderStore:
    store = open_store(tmp_path / ".steelyard")
    store.put(make.run(), [make.rows()], make.samples())
    return store


def content(folder: Path) -> dict[str, bytes]:
    """Every file that is no lock."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix not in (".lock", ".sqlite")
    }


def newer(path: Path, **fields: object) -> None:
    value = json.loads(path.read_text())
    path.write_text(json.dumps(value | {"schema_version": 99} | fields))


def acts(store: FolderStore, make: SimpleNamespace, other: Path) -> list[Callable[[], object]]:
    id = make.run().id
    return [
        lambda: store.get(id),
        lambda: store.get("e/c"),
        lambda: store.runs.intact(id),
        lambda: store.runs.put_away(id),
        lambda: store.put(make.run(), [make.rows()], make.samples()),
        store.upkeep.gc,
        lambda: store.upkeep.gc(dry_run=False),
        lambda: copy_runs(store, open_store(other), [id]),
    ]


def test_a_run_of_a_newer_steelyard_is_neither_replaced_nor_removed(
    store: FolderStore, make: SimpleNamespace, tmp_path: Path
) -> None:
    run = store.layout.runs / make.run().id / "run.json"
    newer(run, verdicts="of a kind that is not known here")
    before = content(store.layout.runs)
    again = open_store(store.root)
    for act in acts(again, make, tmp_path / "other"):
        with pytest.raises(NewerVersionError, match=r"newer Steelyard \(record version 99\); upg"):
            act()
    assert content(store.layout.runs) == before
    assert any("record version 99" in line for line in again.upkeep.check())
    assert again.upkeep.rebuild() == 0
    assert content(store.layout.runs) == before


def test_a_checkpoint_of_a_newer_steelyard_is_no_damage_and_no_garbage(
    store: FolderStore, make: SimpleNamespace
) -> None:
    folder = store.checkpoints.new_folder("k")
    digest = make.checkpoint(folder, "c")
    place = store.checkpoints.adopt(folder, digest)
    newer(place / "manifest.json", lineage=[])
    before = content(place)
    with pytest.raises(NewerVersionError, match="record version 99"):
        open_checkpoint(place, verify=True)
    with pytest.raises(NewerVersionError, match=r"manifest\.json: written by a newer"):
        store.upkeep.gc(dry_run=False)
    assert content(place) == before


def test_a_stage_of_a_newer_steelyard_is_not_done_again(store: FolderStore) -> None:
    store.stages.finish("train-k", {"checkpoint": "a", "manifest": {"schema_version": 99}})
    before = content(store.layout.stages)
    with pytest.raises(NewerVersionError, match=r"train-k\.json: written by a newer Steelyard"):
        store.stages.get("train-k")
    with pytest.raises(NewerVersionError):
        store.stages.finish("train-k", {"checkpoint": "b"})
    assert content(store.layout.stages) == before


def test_an_index_of_a_newer_steelyard_is_left_alone_and_done_without(
    store: FolderStore, make: SimpleNamespace
) -> None:
    assert store.runs.summaries()
    with sqlite3.connect(store.layout.index) as connection:
        connection.execute("PRAGMA user_version = 99")
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    before = store.layout.index.read_bytes()
    again = open_store(store.root)
    assert [run.id for run in again.runs.summaries()] == [make.run().id]
    again.put(make.run("other"), [], [])
    assert len(again.runs.summaries()) == 2
    with pytest.raises(StoreError, match="a newer Steelyard's index; upgrade"):
        again.upkeep.rebuild()
    assert store.layout.index.read_bytes() == before


def test_a_baseline_file_of_a_newer_steelyard_is_not_overwritten(
    store: FolderStore, make: SimpleNamespace, tmp_path: Path
) -> None:
    path = tmp_path / "base.steelyard.json.gz"
    run = Scored.from_store(store, make.run().id)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(baseline_file, "SCHEMA_VERSION", 99)
        baseline_file.save(run, path)
    before = path.read_bytes()
    with pytest.raises(DataError, match=r"newer Steelyard \(schema 99.*upgrade"):
        baseline_file.save(run, path)
    assert path.read_bytes() == before
