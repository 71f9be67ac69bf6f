"""What is put comes back, under every name that a run has."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from steelyard.harness.errors import StoreError, UnknownNameError
from steelyard.harness.store import FolderStore, open_store


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return open_store(tmp_path / ".steelyard")


def test_a_run_comes_back_equal_with_its_rows_and_samples(
    store: FolderStore, make: SimpleNamespace
) -> None:
    run, rows, samples = make.run(), make.rows(), make.samples()
    store.put(run, [rows], samples)
    again = open_store(store.root)
    assert again.get(run.id) == run
    (found,) = again.rows(run.id)
    assert (found.task, found.metric, found.sample_ids) == (rows.task, rows.metric, rows.sample_ids)
    assert (found.flags, found.clusters) == (rows.flags, rows.clusters)
    np.testing.assert_array_equal(found.values, rows.values)
    np.testing.assert_array_equal(found.scored, rows.scored)
    assert again.samples(run.id) == samples


def test_rows_and_samples_are_read_by_task(store: FolderStore, make: SimpleNamespace) -> None:
    groups = [make.rows("a", "acc"), make.rows("b", "acc", n=0), make.rows("b", "f1", k=1)]
    store.put(make.run(), groups, [*make.samples("a"), *make.samples("b", n=3)])
    assert [(g.metric, len(g.sample_ids)) for g in store.rows("e/c", "b")] == [
        ("acc", 0),
        ("f1", 300),
    ]
    assert store.rows("e/c", "b")[0].values.shape == (0, 2)
    assert [s.sample_id for s in store.samples("e/c", "b")] == [
        s.sample_id for s in make.samples("b", n=3)
    ]
    assert store.rows("e/c", "nothing") == ()


def test_an_unscored_sample_is_null_on_disk_and_never_nan(
    store: FolderStore, make: SimpleNamespace
) -> None:
    import pyarrow.parquet as pq

    store.put(make.run(), [make.rows()], make.samples())
    table = pq.read_table(store.root / "runs" / make.run().id / "rows.parquet")
    columns = ["task", "sample_id", "metric", "values", "scored", "flags", "cluster"]
    assert table.column_names == columns
    for row in table.to_pylist():
        assert (row["values"] == [None, None]) == (not row["scored"])
        assert not any(np.isnan(v) for v in row["values"] if v is not None)


def test_the_same_id_twice_is_no_change(store: FolderStore, make: SimpleNamespace) -> None:
    run = make.run()
    store.put(run, [make.rows()], make.samples())
    path = store.root / "runs" / run.id / "run.json"
    before = path.stat()
    store.put(run.model_copy(update={"suite": "other"}), [], [])
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert store.get(run.id) == run


def test_a_damaged_run_is_replaced_by_the_next_put(
    store: FolderStore, make: SimpleNamespace
) -> None:
    run = make.run()
    store.put(run, [make.rows()], make.samples())
    rows = store.root / "runs" / run.id / "rows.parquet"
    rows.write_bytes(rows.read_bytes()[:-100])
    assert store.runs.intact(run.id) is None
    store.put(run, [make.rows()], make.samples())
    assert store.runs.intact(run.id) == run
    assert store.upkeep.check() == []


def test_experiment_slash_candidate_names_the_run_that_was_put_last_whatever_its_date(
    store: FolderStore, make: SimpleNamespace
) -> None:
    dates = ("2026-01-01T10:00:00+00:00", "2026-01-01T11:30:00+02:00", "1999-12-31T00:00:00Z")
    for date in dates:  # each earlier than the last
        run = make.run(created_at=date)
        store.put(run, [], [])
        assert store.get("e/c") == run


def test_a_run_is_found_by_a_prefix_of_its_id_and_by_its_folder(
    store: FolderStore, make: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make.run(id="abcdef" + "0" * 26)
    store.put(run, [], [])
    assert store.get("abc") == run
    assert store.get(store.root / "runs" / run.id) == run
    monkeypatch.chdir(store.root)
    assert store.get(f"runs/{run.id}") == run


def test_an_ambiguous_prefix_names_the_ids(store: FolderStore, make: SimpleNamespace) -> None:
    for last in "12":
        store.put(make.run(last, id="abc" + last * 29), [], [])
    with pytest.raises(StoreError, match=r"begins 2 run ids: abc1{29}, abc2{29}; add digits"):
        store.get("abc")


def test_an_unknown_run_is_answered_with_near_names(
    store: FolderStore, make: SimpleNamespace
) -> None:
    with pytest.raises(UnknownNameError, match="there are none"):
        store.get("e/lora")
    store.put(make.run("lora"), [], [])
    with pytest.raises(UnknownNameError, match=r"did you mean 'e/lora'\?"):
        store.get("e/lroa")


@pytest.mark.parametrize("name", ["../../etc", "..", "a/../b", "", ".", "/", "%", "\x00", "🤖"])
def test_no_name_leads_out_of_the_workspace(
    store: FolderStore, make: SimpleNamespace, name: str
) -> None:
    store.put(make.run(), [], [])
    with pytest.raises((UnknownNameError, StoreError)):
        store.get(name)
    with pytest.raises(StoreError):
        store.put(make.run(id=name or " "), [], [])
    with pytest.raises(StoreError):
        store.stages.finish(name, {})
    with pytest.raises(StoreError):
        store.checkpoints.get(name)


def test_a_prefix_has_no_wildcards(store: FolderStore, make: SimpleNamespace) -> None:
    store.put(make.run(), [], [])
    for name in ("_", "%", "_" * 32):
        with pytest.raises(UnknownNameError):
            store.get(name)


def test_a_log_may_be_named_after_any_candidate(store: FolderStore) -> None:
    path = store.logs.write("train-lora r=16/../x", "Traceback \ud800")
    assert path == store.logs.path("train-lora r=16/../x")
    assert path.parent == store.root / "logs"
    assert path.read_text() == "Traceback <U+D800>"


def test_find_selects_by_the_fields_of_a_run(store: FolderStore, make: SimpleNamespace) -> None:
    for name in "ab":
        for experiment in "xy":
            store.put(make.run(name, experiment=experiment), [], [])
    assert {(r.experiment, r.candidate) for r in store.find(candidate="a")} == {
        ("x", "a"),
        ("y", "a"),
    }
    assert [s.name for s in store.runs.summaries(candidate="b", experiment="y")] == ["y/b"]
    digest = make.digest("a")
    assert {r.checkpoint.digest for r in store.find(checkpoint=digest)} == {digest}
    assert list(store.find(suite="other")) == []
    with pytest.raises(StoreError, match="did you mean 'candidate'"):
        list(store.find(candidte="a"))


def test_a_deleted_run_is_gone_from_disk_and_index(
    store: FolderStore, make: SimpleNamespace
) -> None:
    store.put(make.run("a"), [], [])
    store.put(make.run("b"), [], [])
    assert store.runs.delete("e/a") == make.run("a").id
    assert [s.candidate for s in store.runs.summaries()] == ["b"]
    assert not (store.root / "runs" / make.run("a").id).exists()


def test_an_empty_store_answers_and_writes_nothing(tmp_path: Path) -> None:
    store = open_store(tmp_path / ".steelyard")
    assert store.runs.summaries() == []
    assert store.stages.get("train-x") is None
    assert store.checkpoints.get("0" * 64) is None
    assert store.upkeep.check() == []
    assert store.upkeep.gc() == []
    assert not store.root.exists()


def test_the_workspace_keeps_itself_out_of_git(store: FolderStore, make: SimpleNamespace) -> None:
    store.put(make.run(), [], [])
    assert (store.root / ".gitignore").read_text() == "*\n"


def test_a_workspace_that_is_a_file_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / ".steelyard").write_text("")
    with pytest.raises(StoreError, match="the workspace is a file; name a folder"):
        open_store(tmp_path / ".steelyard")


def test_json_on_disk_is_stable_text(store: FolderStore, make: SimpleNamespace) -> None:
    run = make.run()
    store.put(run, [], [])
    first = (store.root / "runs" / run.id / "run.json").read_bytes()
    other = open_store(store.root.with_name("other"))
    other.put(run, [], [])
    assert (other.root / "runs" / run.id / "run.json").read_bytes() == first
    assert first.index(b'"candidate"') < first.index(b'"checkpoint"') < first.index(b'"suite"')


def test_a_nan_score_comes_back_as_missing(store: FolderStore, make: SimpleNamespace) -> None:
    run = make.run()
    broken = run.scores[0].model_copy(update={"value": float("nan"), "high": float("inf")})
    store.put(run.model_copy(update={"scores": (broken,)}), [], [])
    (score,) = store.get(run.id).scores
    assert (score.value, score.high, score.low) == (None, None, 0.4)


def test_a_run_of_a_newer_steelyard_says_so(store: FolderStore, make: SimpleNamespace) -> None:
    run = make.run()
    store.put(run, [], [])
    path = store.root / "runs" / run.id / "run.json"
    path.write_text(path.read_text().replace('"schema_version": 2', '"schema_version": 99'))
    path.write_text(path.read_text().replace('"suite"', '"suites"'))
    with pytest.raises(StoreError, match=r"newer Steelyard \(record version 99\); upgrade"):
        store.get(run.id)


def test_sixty_tasks_of_a_thousand_samples_are_put_quickly(
    store: FolderStore, make: SimpleNamespace
) -> None:
    rows = [make.rows(f"task {i}", n=1000) for i in range(60)]
    samples = [s for i in range(60) for s in make.samples(f"task {i}", n=1000)]
    store.put(make.run("warm"), rows[:1], samples[:1])
    started = time.process_time()
    store.put(make.run(), rows, samples)
    assert time.process_time() - started < 4.0  # 0.7-1.4 s measured; room for a busy machine
    assert len(store.rows("e/c", "task 7")) == 1
