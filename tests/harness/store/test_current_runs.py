"""A name means the run that was recorded last, whatever its date; after a failure it means none."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from steelyard.harness.errors import EXIT_NOT_COMPARABLE, NoCurrentRunError, StoreError
from steelyard.harness.records import Run
from steelyard.harness.store import FolderStore, copy_runs, open_store


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return open_store(tmp_path / ".steelyard")


@pytest.fixture
def run_of(make: SimpleNamespace) -> Callable[..., Run]:
    """A run of ``e/c``: its recipe, and the day of June on which a clock says that it was made."""

    def build(recipe: str, day: int = 1, **fields: object) -> Run:
        run: Run = make.run(created_at=f"2026-06-{day:02}T10:00:00+00:00", **fields)
        checkpoint = run.checkpoint.model_copy(update={"digest": recipe * 64})
        return run.model_copy(update={"id": recipe * 32, "checkpoint": checkpoint})

    return build


def why_not(store: FolderStore, name: str = "e/c") -> str:
    with pytest.raises(NoCurrentRunError) as error:
        store.get(name)
    assert error.value.exit_code == EXIT_NOT_COMPARABLE
    assert "name an earlier run by its id" in str(error.value)
    return str(error.value)


def rerun(store: FolderStore, *runs: Run) -> None:
    """What `steelyard run` does when every stage is there already."""
    names = [run.candidate for run in runs]
    with store.current.attempt(runs[0].experiment, names) as attempt:
        for run in runs:
            attempt.scored(run, run.candidate)


def test_a_recipe_that_is_taken_back_is_the_current_run_again(
    store: FolderStore, run_of: Callable[..., Run]
) -> None:
    bad, good = run_of("a", day=1), run_of("b", day=2)
    for run in (bad, good):
        store.put(run, [], [])
    assert store.get("e/c") == good
    rerun(store, bad)
    assert store.get("e/c") == bad
    assert open_store(store.root).current.of_experiment("e") == {"c": bad.id}


def test_a_run_that_was_made_while_the_clock_was_fast_does_not_stay_the_current_one(
    store: FolderStore, run_of: Callable[..., Run]
) -> None:
    future = run_of("a").model_copy(update={"created_at": "2099-01-01T00:00:00+00:00"})
    store.put(future, [], [])
    store.put(run_of("b"), [], [])
    assert store.get("e/c") == run_of("b")


def test_a_failure_leaves_no_current_run_and_says_why(
    store: FolderStore, run_of: Callable[..., Run]
) -> None:
    store.put(run_of("a"), [], [])
    with store.current.attempt("e", ["c"]) as attempt:
        attempt.failed("c", "its training failed: loss is NaN")
    assert "e/c: no current run: its training failed: loss is NaN; run" in why_not(store)
    assert store.get("a" * 32) == run_of("a")  # by its id it is there
    with pytest.raises(NoCurrentRunError):
        store.current.checkpoint("e", "c")


def test_an_error_before_anything_was_scored_leaves_no_current_run(
    store: FolderStore, run_of: Callable[..., Run]
) -> None:
    store.put(run_of("a"), [], [])
    with pytest.raises(KeyError), store.current.attempt("e", ["c", "new"]):
        raise KeyError("suite")
    assert "ended early: 'suite'" in why_not(store)
    store.put(run_of("b"), [], [])
    assert store.get("e/c") == run_of("b")


def test_a_checkpoint_that_was_trained_again_has_no_run_until_it_is_scored(
    store: FolderStore, run_of: Callable[..., Run]
) -> None:
    store.put(run_of("a"), [], [])
    with store.current.attempt("e", ["c"]) as attempt:
        attempt.trained("c", "a" * 64)
    assert store.get("e/c") == run_of("a")  # the same weights: nothing has changed
    with store.current.attempt("e", ["c"]) as attempt:
        attempt.trained("c", "b" * 64)
    assert "its present checkpoint bbbbbbbbbbbb is not scored" in why_not(store)
    assert store.current.checkpoint("e", "c") == "b" * 64
    rerun(store, run_of("b"))
    assert "was removed, or its storing was cut off" in why_not(store)  # it is not there
    store.put(run_of("b"), [], [])
    assert store.get("e/c") == run_of("b")


def test_while_a_run_is_under_way_and_after_it_was_killed_nothing_is_current(
    store: FolderStore, run_of: Callable[..., Run]
) -> None:
    store.put(run_of("a"), [], [])
    other = run_of("c").model_copy(update={"candidate": "d"})
    store.put(other, [], [])
    under_way = store.current.attempt("e", ["c", "d"])
    attempt = under_way.__enter__()
    attempt.scored(other, "d")
    assert "a run of it began and has not ended (process " in why_not(store)
    # Killed: its document stays, and its lease is free.
    (left,) = store.layout.current.glob("attempt-*.json")
    text = left.read_text()
    under_way.__exit__(None, None, None)
    left.write_text(text)
    assert "began and has not ended" in why_not(open_store(store.root))
    rerun(store, run_of("a"))
    assert store.get("e/c") == run_of("a")
    assert json.loads(left.read_text())["candidates"] == ["d"]
    rerun(store, other)
    assert not left.exists()
    assert store.get("e/d") == other


def test_a_run_whose_storing_is_cut_off_never_leaves_the_one_of_before(
    store: FolderStore, run_of: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put(run_of("a"), [], [])
    publish = type(store.runs).publish

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(type(store.runs), "publish", killed)
    with pytest.raises(KeyboardInterrupt):
        store.put(run_of("b"), [], [])
    assert "its storing was cut off" in why_not(open_store(store.root))
    monkeypatch.setattr(type(store.runs), "publish", publish)
    store.put(run_of("b"), [], [])
    assert store.get("e/c") == run_of("b")


def test_a_run_that_was_put_by_other_means_makes_its_name_mean_nothing(
    store: FolderStore, run_of: Callable[..., Run], tmp_path: Path
) -> None:
    store.put(run_of("a"), [], [])
    other = open_store(tmp_path / "other")
    other.put(run_of("b"), [], [])
    shutil.copytree(other.layout.runs / ("b" * 32), store.layout.runs / ("b" * 32))
    assert "run bbbbbbbbbbbb was put by other means since" in why_not(store)
    rerun(store, run_of("a"))
    assert store.get("e/c") == run_of("a")


def test_a_removed_run_does_not_hand_its_name_to_an_earlier_one(
    store: FolderStore, run_of: Callable[..., Run]
) -> None:
    store.put(run_of("a"), [], [])
    store.put(run_of("b"), [], [])
    store.runs.delete("b" * 32)
    assert "its run bbbbbbbbbbbb was removed" in why_not(store)
    store.put(run_of("b"), [], [])
    shutil.rmtree(store.layout.runs / ("b" * 32))  # by hand
    assert "its run bbbbbbbbbbbb was removed" in why_not(store)


def test_candidates_of_one_name_in_two_experiments_do_not_meet(
    store: FolderStore, run_of: Callable[..., Run]
) -> None:
    mine, theirs = run_of("a"), run_of("b").model_copy(update={"experiment": "f"})
    for run in (mine, theirs):
        store.put(run, [], [])
    with store.current.attempt("f", ["c"]) as attempt:
        attempt.failed("c", "its scoring failed")
    assert store.get("e/c") == mine
    assert "f/c: no current run" in why_not(store, "f/c")


def test_a_workspace_of_before_the_record_takes_the_newest_by_date_once_and_says_so(
    store: FolderStore, run_of: Callable[..., Run], capsys: pytest.CaptureFixture[str]
) -> None:
    for run in (run_of("b", day=2), run_of("a", day=1)):
        store.put(run, [], [])
    shutil.rmtree(store.layout.current)
    old = open_store(store.root)
    assert old.get("e/c") == run_of("b", day=2)
    first, second = capsys.readouterr().err.splitlines()
    assert "made before Steelyard recorded which run of a candidate is the current one" in first
    assert "e/c: the newest of 2 runs by date is taken (bbbbbbbbbbbb)" in second
    assert open_store(store.root).get("e/c") == run_of("b", day=2)
    assert len(capsys.readouterr().err.splitlines()) == 1
    rerun(old, run_of("a", day=1))
    assert open_store(store.root).get("e/c") == run_of("a", day=1)
    assert capsys.readouterr().err == ""


def test_a_broken_experiment_file_leaves_no_current_run_of_it(
    store: FolderStore, run_of: Callable[..., Run], tmp_path: Path
) -> None:
    file = tmp_path / "e.yaml"
    store.put(run_of("a"), [], [])
    with store.current.attempt("e", ["c"], file) as attempt:
        attempt.scored(run_of("a"), "c")
    store.current.failed(None, tmp_path / "other.yaml", "not YAML")
    assert store.get("e/c") == run_of("a")
    store.current.failed(None, file, "not YAML")
    assert "no current run: not YAML" in why_not(store)


def test_the_record_outlives_its_index_and_a_damaged_record_is_told(
    store: FolderStore, run_of: Callable[..., Run]
) -> None:
    store.put(run_of("b", day=2), [], [])
    store.put(run_of("a", day=1), [], [])
    store.layout.index.unlink()
    assert open_store(store.root).upkeep.rebuild() == 2
    assert store.get("e/c") == run_of("a", day=1)
    (record,) = store.layout.current.glob("run-*.json")
    record.write_bytes(record.read_bytes()[:-20])
    assert "damaged JSON" in why_not(store)
    (line,) = store.upkeep.check()
    assert str(record) in line


def test_a_record_of_a_newer_steelyard_is_neither_read_nor_replaced(
    store: FolderStore, run_of: Callable[..., Run]
) -> None:
    store.put(run_of("a"), [], [])
    (record,) = store.layout.current.glob("run-*.json")
    newer = json.dumps({"version": 2, "meaning": "unknown"})
    record.write_text(newer)
    for act in (lambda: store.get("e/c"), lambda: store.put(run_of("b"), [], [])):
        with pytest.raises(StoreError, match=r"newer Steelyard \(version 2\); upgrade"):
            act()
    assert record.read_text() == newer
    assert not (store.layout.runs / ("b" * 32)).exists()


def test_what_is_copied_is_current_where_it_was_current(
    store: FolderStore, run_of: Callable[..., Run], tmp_path: Path
) -> None:
    good, bad = run_of("b", day=2), run_of("a", day=1)
    for run in (good, bad):
        store.put(run, [], [])
    every, one = open_store(tmp_path / "every"), open_store(tmp_path / "one")
    copy_runs(store, every)
    assert every.get("e/c") == bad
    copy_runs(store, one, [good.id])
    assert "is not the current one of where it came from" in why_not(one)
    assert one.get(good.id) == good
