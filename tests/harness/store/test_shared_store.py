"""A store that machines share: what one puts another reads, and no fault changes what is read."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from steelyard.harness.errors import ConfigError, MissingExtraError, StoreError
from steelyard.harness.store.shared import SharedStore, open_shared
from steelyard.harness.store.shared.location import MAX_MARKER_BYTES, Location
from tests.postgresql import Server

Machine = Callable[..., SharedStore]


@pytest.fixture
def machine(database: str, tmp_path: Path) -> Machine:
    """``machine("a")`` is the store as one machine sees it, with a cache of its own."""
    url = f"{database}?artifacts=file://{tmp_path}/files"

    def opened(name: str = "a", **options: Any) -> SharedStore:
        options = {"say": lambda line: None, "patience_seconds": 20.0} | options
        return open_shared(tmp_path / name, url, **options)

    return opened


def _files(tmp_path: Path, pattern: str) -> list[Path]:
    return sorted((tmp_path / "files").glob(pattern))


def _checkpoint(store: SharedStore, make: SimpleNamespace, name: str, base: str = "") -> str:
    folder = store.checkpoints.new_folder(f"train-{name}")
    digest: str = make.checkpoint(folder, name)
    if base:
        link = {"relative": f"../{base[:16]}", "absolute": "/nonexistent"}
        (folder / "base.json").write_text(json.dumps(link))
    store.checkpoints.adopt(folder, digest)
    return digest


def test_what_one_machine_puts_another_reads(machine: Machine, make: SimpleNamespace) -> None:
    here, there = machine("a"), machine("b")
    run, rows, samples = make.run(), make.rows(), make.samples()
    here.put(run, [rows], samples)
    assert there.get("e/c") == there.get(run.id[:8]) == there.runs.intact(run.id) == run
    np.testing.assert_array_equal(there.rows(run.id)[0].values, rows.values)
    assert there.samples("e/c") == samples
    here.stages.finish("score-k", {"run": run.id, "value": float("nan")})
    assert there.stages.get("score-k") == {"run": run.id, "value": None}
    assert there.runs.delete("e/c") == run.id
    assert here.runs.intact(run.id) is None
    assert list(here.find()) == here.upkeep.check() == []


def test_a_checkpoint_comes_with_the_weights_it_stands_on(
    machine: Machine, make: SimpleNamespace
) -> None:
    here, there = machine("a"), machine("b")
    base = _checkpoint(here, make, "base")
    digest = _checkpoint(here, make, "adapter", base)
    assert there.layout.checkpoints.exists() is False
    folder = there.checkpoints.get(digest)
    assert folder is not None
    assert sorted(p.name for p in folder.iterdir()) == sorted(
        p.name for p in here.checkpoints.path(digest).iterdir()
    )
    assert (folder.parent / base[:16] / "model.safetensors").stat().st_size == 320_000
    assert there.checkpoints.get("f" * 64) is None


def test_a_damaged_base_is_made_again_and_not_what_stands_on_it(
    machine: Machine, make: SimpleNamespace, tmp_path: Path
) -> None:
    here = machine("a")
    base = _checkpoint(here, make, "base")
    digest = _checkpoint(here, make, "adapter", base)
    (weights,) = _files(tmp_path, f"checkpoints/{base[:16]}/*/model.safetensors")
    weights.write_bytes(b"rot")
    there = machine("b")
    assert there.checkpoints.get(digest) is None
    assert there.checkpoints.get(base) is None
    _checkpoint(there, make, "base")
    assert machine("c").checkpoints.get(digest) is not None


def test_a_damaged_checkpoint_is_not_there_and_can_be_made_again(
    machine: Machine, make: SimpleNamespace, tmp_path: Path
) -> None:
    said: list[str] = []
    here, there = machine("a"), machine("b", say=said.append)
    digest = _checkpoint(here, make, "c")
    (weights,) = _files(tmp_path, "checkpoints/*/*/model.safetensors")
    content = bytearray(weights.read_bytes())
    content[1000] ^= 1
    weights.write_bytes(content)
    (damage,) = there.upkeep.check()
    assert "model.safetensors: not what was put there" in damage
    assert there.checkpoints.get(digest) is None
    assert "it is made again" in said[0]
    assert "damaged in the store" in there.logs.events()[0]
    _checkpoint(there, make, "c")
    assert machine("c").checkpoints.get(digest) is not None


def test_a_cache_that_rots_is_dropped_and_the_store_is_not(
    machine: Machine, make: SimpleNamespace, tmp_path: Path
) -> None:
    here = machine("a")
    digest = _checkpoint(here, make, "c")
    (here.checkpoints.path(digest) / "model.safetensors").write_bytes(b"rot")
    here.checkpoints.discard(digest)
    folder = here.checkpoints.get(digest)
    assert folder is not None
    assert (folder / "model.safetensors").stat().st_size == 320_000
    here.checkpoints.discard(digest)  # the same content as in the store: that is damaged too
    assert here.checkpoints.get(digest) is None
    assert _files(tmp_path, "checkpoints/*") == []


def test_a_damaged_run_is_an_error_and_is_scored_again(
    machine: Machine, make: SimpleNamespace, tmp_path: Path
) -> None:
    here, there = machine("a"), machine("b")
    run = make.run()
    here.put(run, [make.rows()], make.samples())
    (rows,) = _files(tmp_path, "runs/*/*/rows.parquet")
    rows.write_bytes(rows.read_bytes()[:-1])
    with pytest.raises(StoreError, match=r"rows\.parquet: not what was put there"):
        there.rows(run.id)
    assert there.runs.intact(run.id) is None
    there.put(run, [make.rows()], make.samples())
    assert len(machine("c").rows(run.id)[0].sample_ids) == 300
    assert [s.id for s in there.runs.summaries()] == [run.id]


def test_a_run_that_is_listed_but_whose_files_are_gone_is_scored_again(
    machine: Machine, make: SimpleNamespace, tmp_path: Path
) -> None:
    # A driver that found it damaged removed its marker, and died before it was made again.
    here, there, run = machine("a"), machine("b"), make.run()
    here.put(run, [make.rows()], make.samples())
    (marker,) = _files(tmp_path, "runs/*.json")
    written = marker.read_bytes()
    marker.unlink()
    assert there.runs.intact(run.id) is None
    marker.write_bytes(written)  # whoever was making it again loses nothing to who asked
    assert there.runs.intact(run.id) == run
    assert there.upkeep.check() == []


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("memory://steelyard", "'memory' is no place that machines share: what it holds ends with"),
        ("MEMORY://steelyard", "memory"),
        ("dir::memory://steelyard", "'memory' is no place"),
        ("simplecache::file://{folder}", "'simplecache' is no place.*what was there before"),
        ("blockcache::memory://steelyard", "'blockcache' is no place"),
    ],
)
def test_a_place_that_does_not_last_is_refused_before_anything_is_put_there(
    place: str, why: str, database: str, tmp_path: Path
) -> None:
    url = f"{database}?artifacts={place.format(folder=tmp_path / 'files')}"
    with pytest.raises(ConfigError, match=f"(?i)artifacts: .*{why}"):
        open_shared(tmp_path / "w", url)
    # The store is not settled on it: another place can be named.
    open_shared(tmp_path / "w", f"{database}?artifacts=file://{tmp_path}/files").close()


def test_a_place_that_only_this_process_knows_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fsspec
    from fsspec.implementations.local import LocalFileSystem

    class OwnFiles(LocalFileSystem):  # type: ignore[misc]
        protocol = "steelyardown"

    fsspec.register_implementation("steelyardown", OwnFiles, clobber=True)
    with pytest.raises(ConfigError, match="another process does not find what this one put there"):
        Location(f"steelyardown://{tmp_path}").require_lasting()
    assert list((tmp_path / "probes").iterdir()) == []
    Location(f"file://{tmp_path}").require_lasting()


def test_files_without_a_marker_are_not_there_and_are_swept_up(
    machine: Machine, make: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = machine()
    write_json = Location.write_json

    def killed(self: Location, kind: str, name: str, value: object) -> None:
        if kind == "runs":
            raise KeyboardInterrupt
        write_json(self, kind, name, value)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Location, "write_json", killed)
        store.put(make.run(), [make.rows()], make.samples())
    assert len(_files(tmp_path, "runs/*/*/*")) == 4
    assert store.runs.summaries() == machine("b").runs.summaries() == []
    store.put(make.run(), [make.rows()], make.samples())
    (left,) = store.upkeep.gc()
    assert "its writer never finished" in left.why
    assert store.upkeep.gc(dry_run=False) == [left]
    assert len(_files(tmp_path, "runs/*/*/*")) == 4
    assert store.upkeep.check() == store.upkeep.gc() == []


def test_a_run_whose_writer_died_before_the_index_is_found_by_rebuild(
    machine: Machine, make: SimpleNamespace
) -> None:
    store = machine()
    for name in "cab":  # the order in which they are stored is kept
        store.put(make.run(name), [make.rows()], make.samples())
        store.stages.finish(f"score-{name}", {"run": make.run(name).id})
    before = store.runs.summaries()
    store.index.remove([make.run("a").id])
    (damage,) = store.upkeep.check()
    assert "does not list run" in damage
    store.index.remove([s.id for s in before])
    store.index.forget_stages(["score-a", "score-b", "score-c"])
    assert store.upkeep.rebuild() == 3
    assert machine("b").runs.summaries() == before
    assert [s.candidate for s in before] == ["c", "a", "b"]
    assert store.stages.get("score-a") == {"run": make.run("a").id}
    assert store.upkeep.check() == []


def test_gc_keeps_what_is_referred_to_and_waits_for_no_driver(
    machine: Machine, make: SimpleNamespace
) -> None:
    store, other = machine("a"), machine("b")
    parent, lonely = _checkpoint(store, make, "parent"), _checkpoint(store, make, "lonely")
    used = _checkpoint(store, make, "used", parent)
    store.stages.finish("train-used", {"checkpoint": used})
    (garbage,) = store.upkeep.gc()
    assert str(garbage.path).endswith(f"checkpoints/{lonely[:16]}")
    assert garbage.size_bytes > 320_000
    with (
        other.leases.writing(shared=True),
        pytest.raises(StoreError, match="in use by process"),
    ):
        store.upkeep.gc(dry_run=False)
    with (
        store.leases.writing(),
        pytest.raises(StoreError, match="in use"),
        other.leases.writing(shared=True),
    ):
        pass
    with store.leases.writing(shared=True), other.leases.writing(shared=True):
        pass
    store.upkeep.gc(dry_run=False)
    assert machine("c").checkpoints.get(lonely) is None
    assert machine("c").checkpoints.get(used) is not None


def test_gc_refuses_an_index_that_knows_less_than_the_files(
    machine: Machine, make: SimpleNamespace
) -> None:
    store, run = machine(), make.run()
    trained, scored = _checkpoint(store, make, "trained"), _checkpoint(store, make, run.candidate)
    store.stages.finish("train-t", {"checkpoint": trained})
    store.put(run, [], [])
    store.index.forget_stages(["train-t"])  # as in a database that was lost
    with pytest.raises(StoreError, match=r"does not list stage train-t.*'steelyard store rebuild'"):
        store.upkeep.gc(dry_run=False)
    store.upkeep.rebuild()
    store.index.remove([run.id])
    with pytest.raises(StoreError, match=rf"does not list run {run.id}.*'steelyard store rebuild'"):
        store.upkeep.gc(dry_run=False)
    store.upkeep.rebuild()
    assert store.upkeep.gc(dry_run=False) == []
    assert all(store.checkpoints.get(digest) for digest in (trained, scored))


def test_gc_goes_on_beside_what_no_rebuild_can_list(
    machine: Machine, make: SimpleNamespace, tmp_path: Path
) -> None:
    store, run = machine(), make.run("newer")
    kept, lonely = _checkpoint(store, make, run.candidate), _checkpoint(store, make, "lonely")
    store.put(run, [], [])
    files = tmp_path / "files"
    (record,) = files.glob("runs/*/*/run.json")
    later = json.loads(record.read_text()) | {"schema_version": 99, "candidate": {"later": True}}
    record.write_text(json.dumps(later))
    written, digest = record.read_bytes(), hashlib.sha256(record.read_bytes()).hexdigest()
    (marker,) = files.glob("runs/*.json")
    content = json.loads(marker.read_text())
    content["files"]["run.json"] = {"size": len(written), "sha256": digest}
    marker.write_text(json.dumps(content))
    for kind in ("runs", "stages"):
        (files / kind).mkdir(exist_ok=True)
        (files / kind / "torn.json").write_text("{")
        (files / kind / "foreign.json").write_text("[1]")
    (files / "stages" / "huge.json").write_bytes(b" " * (MAX_MARKER_BYTES + 1))
    assert store.upkeep.rebuild() == 0
    (garbage,) = store.upkeep.gc(dry_run=False)
    assert str(garbage.path).endswith(f"checkpoints/{lonely[:16]}")
    assert store.checkpoints.get(kept) is not None, "the record of a newer Steelyard still names it"
    assert any("stages/huge.json: damaged JSON" in line for line in store.upkeep.check())


def test_a_lease_is_kept_while_its_holder_lives_whatever_the_clock_says(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = machine("a", lease_seconds=0.8), machine("b", lease_seconds=0.8)
    with here.leases.held("train-k") as ours:
        assert ours
        tomorrow = time.time() + 86_400
        monkeypatch.setattr(time, "time", lambda: tomorrow)
        time.sleep(1.6)
        with there.leases.held("train-k") as theirs:
            assert not theirs
        assert "process" in (there.leases.holder("train-k") or "")
    with there.leases.held("train-k") as theirs:
        assert theirs
    assert here.leases.holder("train-k") is None


HOLDER = (
    "import sys, time; from pathlib import Path\n"
    "from steelyard.harness.store.shared import open_shared\n"
    "store = open_shared(Path(sys.argv[1]), sys.argv[2], lease_seconds=1.5)\n"
    "with store.leases.held('train-k') as ours:\n"
    "    print(ours, flush=True); time.sleep(60)"
)


def test_a_dead_holder_is_followed_once_its_lease_has_expired(
    machine: Machine, database: str, tmp_path: Path
) -> None:
    store = machine(lease_seconds=1.5)
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "dead"), database]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "True\n"
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with store.leases.held("train-k") as ours:
        assert not ours
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with store.leases.held("train-k") as ours:
            if ours:
                break
        time.sleep(0.1)
    assert ours


def test_a_database_that_is_away_for_a_moment_is_waited_for(
    machine: Machine, make: SimpleNamespace, postgresql: Server
) -> None:
    said: list[str] = []
    store = machine(say=said.append)
    store.put(make.run("a"), [], [])
    postgresql.stop()
    back = threading.Timer(1.5, postgresql.start)
    back.start()
    try:
        store.put(make.run("b"), [], [])
    finally:
        back.join()
    assert [s.candidate for s in store.runs.summaries()] == ["a", "b"]
    assert len(said) == 2
    assert "trying again" in said[0]
    assert "back after" in said[1]
    assert store.upkeep.check() == []


def test_a_database_that_stays_away_is_one_clear_line(machine: Machine, postgresql: Server) -> None:
    store = machine(patience_seconds=1.0)
    postgresql.stop()
    try:
        with pytest.raises(StoreError) as caught:
            store.runs.summaries()
    finally:
        postgresql.start()
    said = str(caught.value)
    assert said.startswith(f"postgresql://127.0.0.1:{postgresql.port}/")
    assert "away for" in said
    assert "goes on from here once it is back" in said
    assert postgresql.password not in said
    assert store.runs.summaries() == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_location_is_an_error_at_once_and_leaves_nothing_listed(
    machine: Machine, make: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    store = machine(patience_seconds=1000.0)

    def full(*_: object) -> None:
        raise OSError(code, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(StoreError, match=r"No space left.*free"):
        patch.setattr(store.location, "_upload", full)
        store.put(make.run(), [make.rows()], make.samples())
    assert store.runs.summaries() == []
    store.put(make.run(), [make.rows()], make.samples())
    assert len(store.runs.summaries()) == 1


def test_a_location_that_is_away_for_a_moment_is_waited_for(
    machine: Machine, make: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    store = machine(say=said.append)
    upload, failures = store.location._upload, iter(range(3))

    def flaky(*arguments: Any) -> Any:
        if next(failures, None) is not None:
            raise ConnectionResetError("Connection reset by peer")
        return upload(*arguments)

    monkeypatch.setattr(store.location, "_upload", flaky)
    store.put(make.run(), [make.rows()], make.samples())
    assert store.upkeep.check() == []
    assert ["trying again" in said[0], "back after" in said[1], len(said)] == [True, True, 2]


def test_a_new_store_asks_where_its_files_go_and_keeps_to_it(database: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"artifacts.*file:///shared/steelyard"):
        open_shared(tmp_path, database)
    with pytest.raises(ConfigError, match="holds a password"):
        open_shared(tmp_path, f"{database}?artifacts=sftp://ann:hunter2@host/x")
    first = open_shared(tmp_path, f"{database}?artifacts={tmp_path}/files")
    assert open_shared(tmp_path, database).location.name == first.location.name
    with pytest.raises(ConfigError, match="has its files elsewhere"):
        open_shared(tmp_path, f"{database}?artifacts=/elsewhere")


def test_a_place_that_needs_another_package_names_it() -> None:
    pytest.importorskip("fsspec")
    with pytest.raises(MissingExtraError, match="s3fs"):
        Location("s3://bucket/steelyard")
    with pytest.raises(ConfigError, match="fsspec"):
        Location("nonsense://bucket")


def test_eight_drivers_open_a_new_database_at_once(machine: Machine) -> None:
    with ThreadPoolExecutor(8) as pool:
        stores = list(pool.map(machine, "abcdefgh"))
    assert len({store.layout.root.name for store in stores}) == 1


def test_the_migrations_make_the_tables_that_the_code_uses(machine: Machine) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from steelyard.harness.store.shared.tables import METADATA

    store = machine()
    with store.database.engine.connect() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, METADATA) == []


def test_a_newer_steelyards_tables_are_left_alone(machine: Machine, database: str) -> None:
    from sqlalchemy import text

    store = machine()
    statement = text("UPDATE alembic_version SET version_num = '9999'")
    store.database.ask(lambda c: c.execute(statement))
    with pytest.raises(StoreError, match=r"newer Steelyard.*upgrade"):
        machine("b")


@pytest.mark.parametrize(
    "files",
    [
        {"../../x": {"size": 1, "sha256": "0" * 64}},
        {"/etc/x": {"size": 1, "sha256": "0" * 64}},
        {"x": {"size": -1, "sha256": "0" * 64}},
        {"x": {"size": 1, "sha256": "0"}},
        [],
    ],
)
def test_a_marker_from_elsewhere_cannot_lead_out_of_the_cache(
    machine: Machine, make: SimpleNamespace, tmp_path: Path, files: Any
) -> None:
    store = machine()
    store.put(make.run(), [], [])
    (path,) = _files(tmp_path, "runs/*.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"files": files}))
    with pytest.raises(StoreError, match="not a marker"):
        machine("b").get(make.run().id)


def test_names_that_postgresql_cannot_hold_are_still_listed(
    machine: Machine, make: SimpleNamespace
) -> None:
    store = machine()
    run = make.run().model_copy(update={"candidate": "a\0b\ud800"})
    store.put(run, [], [])
    assert [s.candidate for s in store.runs.summaries()] == ["a\ufffdb\ufffd"]
    assert store.get(run.id).candidate == "a\0b\ufffd"


def test_runs_are_copied_between_a_folder_and_a_shared_store(
    machine: Machine, make: SimpleNamespace, tmp_path: Path
) -> None:
    from steelyard.harness.store import open_store
    from steelyard.harness.store.copying import copy_runs

    folder, shared = open_store(tmp_path / "folder", url=""), machine()
    for name in "ab":
        folder.put(make.run(name), [make.rows()], make.samples())
    assert copy_runs(folder, shared).runs == 2
    assert copy_runs(folder, shared).runs == 0
    back = open_store(tmp_path / "back", url="")
    shutil.rmtree(shared.layout.runs)
    assert copy_runs(shared, back).runs == 2
    assert back.upkeep.check() == shared.upkeep.check() == []
    assert [r.candidate for r in back.find()] == ["a", "b"]


def test_a_cached_run_that_was_cut_short_is_fetched_again(
    machine: Machine, make: SimpleNamespace
) -> None:
    store = machine()
    run = make.run()
    store.put(run, [make.rows()], make.samples())
    for path in (store.layout.runs / run.id).iterdir():
        path.write_bytes(path.read_bytes()[:100])
    assert store.get(run.id) == run
    assert len(store.samples(run.id)) == 300
