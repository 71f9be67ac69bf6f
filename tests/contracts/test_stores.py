"""What every store promises: what was put comes back, once, and what was not put is not there."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from steelyard.harness.errors import SteelyardError
from steelyard.harness.store import open_store
from steelyard.harness.store.opening import STORE_VARIABLE

MAKE = runpy.run_path(str(Path(__file__).parents[1] / "harness" / "store" / "writer.py"))


@pytest.fixture(params=["folder", "postgresql, folder", "postgresql, memory"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Any]:
    """Every kind of store: in a folder; and in PostgreSQL, with files where fsspec reaches."""
    monkeypatch.delenv(STORE_VARIABLE, raising=False)
    if request.param != "folder":
        place = f"file://{tmp_path}/files" if "folder" in request.param else f"memory:/{tmp_path}"
        database = request.getfixturevalue("database")
        monkeypatch.setenv(STORE_VARIABLE, f"{database}?artifacts={place}")
    store = open_store(tmp_path / ".steelyard")
    yield store
    store.close()


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


def test_a_stage_is_finished_or_it_is_none(store: Any) -> None:
    assert store.stage("k") is None
    store.finish_stage("k", {"run": "x"})
    assert store.stage("k") == {"run": "x"}


def test_a_checkpoint_is_adopted_once(store: Any) -> None:
    folders = [store.new_checkpoint_folder("k") for _ in range(2)]
    (digest,) = {MAKE["make_checkpoint"](folder, "c") for folder in folders}
    assert store.checkpoint(digest) is None
    first, second = (store.adopt_checkpoint(folder, digest) for folder in folders)
    assert first == second == store.checkpoint(digest)
    assert not any(folder.exists() for folder in folders)


def test_a_stage_is_leased_to_one_at_a_time(store: Any) -> None:
    with store.lease("train-k") as ours:
        assert ours
        with open_store(store.root).lease("train-k") as theirs, store.lease("train-l") as other:
            assert not theirs
            assert other
        with store.lease("train-k") as still_not:
            assert not still_not
    with open_store(store.root).lease("train-k") as after:
        assert after


def test_events_are_lines_in_the_order_in_which_they_came(store: Any) -> None:
    assert store.events() == []
    store.log_event("train lora: start\nand\x1b[31m more")
    store.log_event("train lora: done")
    first, second = store.events()
    assert first.endswith("train lora: start and more")
    assert second.endswith("train lora: done")
