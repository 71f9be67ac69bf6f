"""Stages and checkpoints: finished or not, never half."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from steelyard.harness.errors import StoreError
from steelyard.harness.store import FolderStore, open_store


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return open_store(tmp_path / ".steelyard")


def _adopted(store: FolderStore, make: SimpleNamespace, name: str = "c") -> Path:
    folder = store.checkpoints.new_folder(f"train-{name}")
    return store.checkpoints.adopt(folder, make.checkpoint(folder, name))


def test_a_finished_stage_says_what_it_produced(store: FolderStore) -> None:
    assert store.stages.get("train-abc") is None
    store.stages.finish("train-abc", {"checkpoint": "d" * 64, "score": float("nan")})
    assert open_store(store.root).stages.get("train-abc") == {"checkpoint": "d" * 64, "score": None}
    store.stages.finish("train-abc", {"checkpoint": "e" * 64})
    assert store.stages.get("train-abc") == {"checkpoint": "e" * 64}


@pytest.mark.parametrize("damage", ["", "{", "[1]", '{"a": 1', "\x00"])
def test_a_damaged_stage_counts_as_unfinished(store: FolderStore, damage: str) -> None:
    store.stages.finish("x", {"a": 1})
    (store.root / "stages" / "x.json").write_text(damage)
    assert store.stages.get("x") is None


def test_a_checkpoint_is_adopted_under_its_digest(
    store: FolderStore, make: SimpleNamespace
) -> None:
    folder = store.checkpoints.new_folder("train-c")
    assert list(folder.iterdir()) == []
    assert folder.is_relative_to(store.root / "tmp")
    digest = make.checkpoint(folder, "c")
    assert store.checkpoints.get(digest) is None
    target = store.checkpoints.adopt(folder, digest)
    assert target == store.checkpoints.path(digest) == store.checkpoints.get(digest)
    assert target == store.root / "checkpoints" / digest[:16]
    assert not folder.exists()


def test_a_checkpoint_that_is_there_already_stays(
    store: FolderStore, make: SimpleNamespace
) -> None:
    first = _adopted(store, make)
    before = (first / "manifest.json").stat().st_ino
    again = store.checkpoints.new_folder("train-c")
    digest = make.checkpoint(again, "c")
    assert store.checkpoints.adopt(again, digest) == first
    assert (first / "manifest.json").stat().st_ino == before
    assert not again.exists()
    assert store.checkpoints.adopt(first, digest) == first
    assert first.is_dir()


def test_a_checkpoint_without_its_manifest_is_refused(
    store: FolderStore, make: SimpleNamespace
) -> None:
    folder = store.checkpoints.new_folder("train-c")
    with pytest.raises(StoreError, match="a checkpoint without manifest"):
        store.checkpoints.adopt(folder, "0" * 64)
    make.checkpoint(folder, "c")
    with pytest.raises(StoreError, match=r"with the digest \w+, not 0{64}"):
        store.checkpoints.adopt(folder, "0" * 64)


def test_a_discarded_checkpoint_is_made_again(store: FolderStore, make: SimpleNamespace) -> None:
    _adopted(store, make)
    store.checkpoints.discard(make.digest("c"))
    assert store.checkpoints.get(make.digest("c")) is None
    assert _adopted(store, make).is_dir()


def test_states_and_journals_outlive_the_process(store: FolderStore) -> None:
    (store.unfinished.states("k") / "step").write_text("3")
    store.unfinished.journal("d" * 64).write_text("line")
    store.close()
    again = open_store(store.root)
    assert (again.unfinished.states("k") / "step").read_text() == "3"
    assert again.unfinished.journal("d" * 64).read_text() == "line"
    assert again.unfinished.journal("d" * 64) != again.unfinished.journal("e" * 64)


def test_gc_keeps_what_runs_and_stages_refer_to_and_their_parents(
    store: FolderStore, make: SimpleNamespace
) -> None:
    for name in ("used", "parent", "lonely", "staged"):
        _adopted(store, make, name)
    manifest = store.checkpoints.get(make.digest("used")) / "manifest.json"
    content = json.loads(manifest.read_text()) | {"parent": make.digest("parent")}
    manifest.write_text(json.dumps(content))
    store.put(make.run("used"), [], [])
    store.stages.finish("train-staged", {"checkpoint": make.digest("staged")})
    store.unfinished.states("staged")
    store.unfinished.journal(make.digest("lonely")).write_text("x")
    store.unfinished.journal(make.digest("used")).write_text("x")

    planned = store.upkeep.gc()
    assert {(g.path.parent.name, g.path.name[:16]) for g in planned} == {
        ("checkpoints", make.digest("lonely")[:16]),
        ("journal", make.digest("lonely")[:16]),
        ("states", "staged"),
    }
    assert all(g.path.exists() for g in planned)
    assert store.upkeep.gc(dry_run=False) == planned
    assert not any(g.path.exists() for g in planned)
    assert store.upkeep.gc() == []
    assert store.checkpoints.get(make.digest("parent")) is not None


def test_gc_waits_for_no_run_but_refuses_to_disturb_one(
    store: FolderStore, make: SimpleNamespace
) -> None:
    target = _adopted(store, make)
    with store.leases.writing():
        assert [g.path for g in open_store(store.root).upkeep.gc()] == [target]
        with pytest.raises(StoreError, match="in use by process"):
            open_store(store.root).upkeep.gc(dry_run=False)
    assert target.is_dir()


def test_check_names_every_damage(store: FolderStore, make: SimpleNamespace) -> None:
    store.put(make.run("a"), [make.rows()], make.samples())
    store.put(make.run("b"), [make.rows(n=20)], make.samples(n=10))
    store.stages.finish("s", {})
    (store.root / "stages" / "s.json").write_text("{")
    wrong = _adopted(store, make, "wrong")
    (wrong / "manifest.json").write_text("{}")
    bare = _adopted(store, make, "bare")
    (bare / "manifest.json").unlink()
    damage = "\n".join(store.upkeep.check())
    assert "10 rows of t acc have no sample" in damage
    assert "t acc has" in damage
    assert "s.json: damaged JSON" in damage
    assert f"{wrong}: its manifest names the checkpoint None" in damage
    assert f"{bare}: no manifest.json" in damage
    assert make.run("a").id not in damage
