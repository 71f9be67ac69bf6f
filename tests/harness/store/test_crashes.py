"""A writer may be killed at any moment, disks fill up, and two may write at once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from steelyard.harness.errors import StoreError
from steelyard.harness.store import FolderStore, open_store

StartWriter = Callable[..., "subprocess.Popen[str]"]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="flock and kill -9 are POSIX")


def _killed_after(writer: subprocess.Popen[str], promises: int, seconds: float) -> list[str]:
    """Kill -9 a writer some time after its n-th promise; all that it had promised by then."""
    assert writer.stdout is not None
    assert writer.stdout.readline() == "ready\n"
    lines = [writer.stdout.readline().rstrip("\n") for _ in range(promises)]
    time.sleep(seconds)
    writer.send_signal(signal.SIGKILL)
    lines += writer.stdout.read().split("\n")[:-1]
    writer.wait()
    return lines


def _assert_sound(store: FolderStore, promised: list[str], make: SimpleNamespace) -> None:
    assert store.upkeep.check() == []
    assert list(store.layout.temporary.iterdir()) == []
    there = {summary.id for summary in store.runs.summaries()}
    for line in promised:
        kind, name = line.split(" ")
        if kind == "run":
            assert name in there
            assert len(store.rows(name)[0].sample_ids) == len(store.samples(name)) == 300
        elif kind == "stage":
            assert store.checkpoints.get(store.stages.get(name)["checkpoint"]) is not None
        else:
            folder = store.checkpoints.get(name)
            assert folder is not None
            assert (folder / "model.safetensors").stat().st_size == 320_000


def _kill_loop(
    root: Path, rounds: int, seed: int, start_writer: StartWriter, make: SimpleNamespace
) -> None:
    rng = random.Random(seed)
    promised: list[str] = []
    for i in range(rounds):
        writer = start_writer(root, prefix=f"{i}-")
        promised += _killed_after(writer, rng.randrange(6), rng.uniform(0.0, 0.05))
        _assert_sound(open_store(root), promised, make)


def test_a_store_survives_kill_9_of_its_writer(
    tmp_path: Path, start_writer: StartWriter, make: SimpleNamespace
) -> None:
    _kill_loop(tmp_path / ".steelyard", 4, 0, start_writer, make)


@pytest.mark.slow
def test_a_store_survives_forty_kills(
    tmp_path: Path, start_writer: StartWriter, make: SimpleNamespace
) -> None:
    _kill_loop(tmp_path / ".steelyard", 40, 1, start_writer, make)


def test_two_processes_that_write_the_same_runs_lose_and_double_none(
    tmp_path: Path, start_writer: StartWriter, make: SimpleNamespace
) -> None:
    root = tmp_path / ".steelyard"
    writers = [start_writer(root, prefix="same", count=6) for _ in range(2)]
    reader = open_store(root)
    while any(writer.poll() is None for writer in writers):
        for summary in reader.runs.summaries()[-1:]:
            assert len(reader.samples(summary.id)) == 300
        time.sleep(0.1)
    assert [writer.wait() for writer in writers] == [0, 0]
    names = sorted(summary.candidate for summary in open_store(root).runs.summaries())
    assert names == sorted(f"same{i}" for i in range(6))
    assert len(list((root / "checkpoints").iterdir())) == 6
    _assert_sound(open_store(root), [], make)


def test_a_living_process_keeps_its_temporary_files(tmp_path: Path, make: SimpleNamespace) -> None:
    store = open_store(tmp_path / ".steelyard")
    folder = store.checkpoints.new_folder("train-x")
    (folder / "half").write_text("written")
    other = open_store(store.root)
    other.put(make.run(), [], [])
    assert (folder / "half").exists()
    assert other.upkeep.gc() == []
    store.close()
    assert not folder.exists()


def test_temporary_files_vanish_with_a_process_that_ends(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from steelyard.harness.store import open_store\n"
        "store = open_store(Path(sys.argv[1]))\n"
        "store.stages.finish('x', {})\n"
        "(store.checkpoints.new_folder('y') / 'half').write_text('written')"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(
    tmp_path: Path, make: SimpleNamespace
) -> None:
    # A file size limit stands in for a full disk: the same write fails, half-way, in the kernel.
    code = (
        "import resource, runpy, signal, sys; from pathlib import Path\n"
        "from steelyard.harness.store import open_store\n"
        "from steelyard.harness.errors import StoreError\n"
        "make = runpy.run_path(sys.argv[2])\n"
        "store = open_store(Path(sys.argv[1])); store.put(make['make_run']('first'), [], [])\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))\n"
        "rows = [make['make_rows'](n=5000)]\n"
        "try: store.put(make['make_run']('second'), rows, make['make_samples']())\n"
        "except StoreError as error: print(error)\n"
        "try: store.stages.finish('x', {'y': 'z' * 10000})\n"
        "except StoreError as error: print(error)\n"
    )
    writer = Path(__file__).with_name("writer.py")
    command = [sys.executable, "-c", code, str(tmp_path), str(writer)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert "cannot store run" in lines[0]
    assert "cannot record stage x" in lines[1]
    assert all("File too large" in line for line in lines)
    store = open_store(tmp_path)
    assert [s.candidate for s in store.runs.summaries()] == ["first"]
    assert store.stages.get("x") is None
    _assert_sound(store, [], make)


def test_a_second_writer_is_told_who_holds_the_workspace(tmp_path: Path) -> None:
    store = open_store(tmp_path / ".steelyard")
    with store.leases.writing():
        with (
            pytest.raises(StoreError, match=rf"in use by process {os.getpid()} on .*; wait"),
            open_store(store.root).leases.writing(),
        ):
            pass
        told: list[str] = []
        with (
            pytest.raises(StoreError),
            open_store(store.root).leases.writing(wait_seconds=0.3, on_wait=told.append),
        ):
            pass
        assert len(told) == 1
    with open_store(store.root).leases.writing():
        pass


def test_a_waiting_writer_goes_on_when_the_first_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from steelyard.harness.store import open_store\n"
        "with open_store(Path(sys.argv[1])).leases.writing():\n"
        "    print('held', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    store = open_store(tmp_path)
    with pytest.raises(StoreError, match=f"process {holder.pid} "), store.leases.writing():
        pass
    holder.kill()
    with store.leases.writing(wait_seconds=30):
        pass
    holder.wait()


def test_a_lease_is_free_again_when_its_holder_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from steelyard.harness.store import open_store\n"
        "with open_store(Path(sys.argv[1])).leases.held('k') as held:\n"
        "    print(held, flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "True\n"
    store = open_store(tmp_path)
    with store.leases.held("k") as held:
        assert not held
    assert f"process {holder.pid} " in (store.leases.holder("k") or "")
    holder.kill()
    holder.wait()
    with store.leases.held("k") as held:
        assert held
    assert store.leases.holder("k") is None


def test_jobs_that_share_a_workspace_keep_only_the_lone_one_out(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    with store.leases.writing(shared=True), open_store(tmp_path).leases.writing(shared=True):
        with pytest.raises(StoreError, match="in use by"), open_store(tmp_path).leases.writing():
            pass
        with pytest.raises(StoreError, match="in use by"):
            store.upkeep.gc(dry_run=False)
    with (
        store.leases.writing(),
        pytest.raises(StoreError),
        open_store(tmp_path).leases.writing(shared=True),
    ):
        pass


def test_an_orphaned_worker_does_not_keep_the_workspace_locked(tmp_path: Path) -> None:
    # A data loader's forked worker inherits the lock's file; the killed parent's lock must go.
    code = (
        "import os, sys, time; from pathlib import Path\n"
        "from steelyard.harness.store import open_store\n"
        "with open_store(Path(sys.argv[1])).leases.writing():\n"
        "    worker = os.fork()\n"
        "    if worker: print(worker, flush=True)\n"
        "    time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    worker = int(holder.stdout.readline())
    try:
        holder.kill()
        holder.wait()
        os.kill(worker, 0)  # it lives
        with open_store(tmp_path).leases.writing(wait_seconds=5):
            pass
    finally:
        os.kill(worker, signal.SIGKILL)


def test_the_file_of_a_lease_whose_holder_was_killed_goes_with_the_next_start(
    tmp_path: Path,
) -> None:
    store = open_store(tmp_path / ".steelyard")
    with store.leases.held("score-living"):
        dead = store.layout.leases / "score-dead.lock"
        dead.write_text("process 1")
        (store.layout.temporary / "dead").mkdir()
        open_store(store.root)
        assert [path.name for path in store.layout.leases.iterdir()] == ["score-living.lock"]
        assert not (store.layout.temporary / "dead").exists()
        with store.leases.held("score-living") as second:
            assert not second
    with store.leases.held("score-dead") as held:
        assert held
