"""What every store promises: what was put comes back, once, and what was not put is not there."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from steelyard.harness.errors import SteelyardError
from steelyard.harness.store import Store, open_store
from steelyard.harness.store.opening import STORE_VARIABLE

MAKE = runpy.run_path(str(Path(__file__).parents[1] / "harness" / "store" / "writer.py"))


@pytest.fixture(params=["folder", "postgresql, folder", "postgresql, no folder"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """Every kind of store: in a folder; and in PostgreSQL, with files where fsspec reaches."""
    monkeypatch.delenv(STORE_VARIABLE, raising=False)
    if request.param != "folder":
        # To fsspec `dir::` is no folder of this machine: what is put is not renamed into place.
        way = "dir::file" if "no folder" in request.param else "file"
        place = f"{way}://{tmp_path}/files"
        database = request.getfixturevalue("database")
        monkeypatch.setenv(STORE_VARIABLE, f"{database}?artifacts={place}")
    store = open_store(tmp_path / ".steelyard")
    yield store
    store.close()


def test_every_store_is_a_store_by_the_protocol(store: Any) -> None:
    assert isinstance(store, Store)


def test_put_get_rows_samples_find(store: Any) -> None:
    run, rows, samples = MAKE["make_run"](), MAKE["make_rows"](), MAKE["make_samples"]()
    store.put(run, [rows], samples)
    assert store.get(run.id) == store.get(run.id[:8]) == store.get("e/c") == run
    assert list(store.find(candidate="c")) == list(store.find()) == [run]
    assert list(store.find(candidate="other")) == []
    np.testing.assert_array_equal(store.rows(run.id, "t")[0].values, rows.values)
    assert store.samples(run.id, "t") == samples
    assert store.rows(run.id, "other") == store.samples(run.id, "other") == ()


def test_the_same_id_twice_is_no_change(store: Any) -> None:
    run = MAKE["make_run"]()
    store.put(run, [MAKE["make_rows"]()], ())
    store.put(run, [], ())
    assert len(store.rows(run.id)) == 1
    assert len(list(store.find())) == 1


def test_what_is_not_there_is_an_error_of_ours(store: Any) -> None:
    with pytest.raises(SteelyardError):
        store.get("nothing")
    with pytest.raises(SteelyardError):
        store.rows("nothing")


def test_a_run_is_listed_without_being_opened_and_gone_once_deleted(store: Any) -> None:
    runs = [MAKE["make_run"](name) for name in ("a", "b")]
    for run in runs:
        store.put(run, [], ())
    assert [summary.id for summary in store.runs.summaries()] == [run.id for run in runs]
    assert store.runs.intact(runs[0].id) == runs[0]
    assert store.runs.delete("e/a") == runs[0].id
    assert store.runs.intact(runs[0].id) is None
    assert [summary.name for summary in store.runs.summaries(complete=True)] == ["e/b"]
    with pytest.raises(SteelyardError, match="runs have no field 'nothing'"):
        store.runs.summaries(nothing="x")


def test_a_stage_is_finished_or_it_is_none(store: Any) -> None:
    assert store.stages.get("k") is None
    store.stages.finish("k", {"run": "x"})
    assert store.stages.get("k") == {"run": "x"}


def test_a_checkpoint_is_adopted_once(store: Any) -> None:
    folders = [store.checkpoints.new_folder("k") for _ in range(2)]
    (digest,) = {MAKE["make_checkpoint"](folder, "c") for folder in folders}
    assert store.checkpoints.get(digest) is None
    first, second = (store.checkpoints.adopt(folder, digest) for folder in folders)
    assert first == second == store.checkpoints.get(digest)
    assert not any(folder.exists() for folder in folders)


def test_a_discarded_checkpoint_is_not_there(store: Any) -> None:
    folder = store.checkpoints.new_folder("k")
    digest = MAKE["make_checkpoint"](folder, "c")
    adopted = store.checkpoints.adopt(folder, digest)
    assert adopted == store.checkpoints.path(digest)
    store.checkpoints.discard(digest)
    assert store.checkpoints.get(digest) is None
    assert not adopted.exists()


def test_what_a_killed_stage_saved_is_there_for_the_next_process(store: Any) -> None:
    (store.unfinished.states("train-k") / "step").write_text("3")
    store.unfinished.journal("d" * 64).write_text("line")
    again = open_store(store.workspace)
    assert (again.unfinished.states("train-k") / "step").read_text() == "3"
    assert again.unfinished.journal("d" * 64).read_text() == "line"


def test_drivers_share_a_store_that_removing_garbage_needs_alone(store: Any) -> None:
    other = open_store(store.workspace)
    with (
        store.leases.writing(shared=True),
        other.leases.writing(shared=True),
        pytest.raises(SteelyardError, match="in use by"),
    ):
        store.upkeep.gc(dry_run=False)
    assert store.upkeep.gc(dry_run=False) == store.upkeep.check() == []


def test_the_index_is_made_anew_from_what_is_stored(store: Any) -> None:
    store.put(MAKE["make_run"](), [], ())
    listed = store.runs.summaries()
    assert store.upkeep.rebuild() == 1
    assert store.runs.summaries() == listed


def test_a_stage_is_leased_to_one_at_a_time(store: Any) -> None:
    with store.leases.held("train-k") as ours:
        assert ours
        with (
            open_store(store.root).leases.held("train-k") as theirs,
            store.leases.held("train-l") as other,
        ):
            assert not theirs
            assert other
        with store.leases.held("train-k") as still_not:
            assert not still_not
    with open_store(store.root).leases.held("train-k") as after:
        assert after


def test_events_are_lines_in_the_order_in_which_they_came(store: Any) -> None:
    assert store.logs.events() == []
    store.logs.event("train lora: start\nand\x1b[31m more")
    store.logs.event("train lora: done")
    first, second = store.logs.events()
    assert first.endswith("train lora: start and more")
    assert second.endswith("train lora: done")
