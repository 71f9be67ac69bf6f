"""`steelyard store`: what a workspace holds can be checked, copied and thinned out."""

from __future__ import annotations

import shutil

from steelyard.harness.store import open_store


def test_a_copy_holds_the_same_runs_and_its_checkpoints_open(tiny, in_process, tmp_path) -> None:  # type: ignore[no-untyped-def]
    from steelyard.harness.checkpoints import open_checkpoint

    target = tmp_path / "copy"
    done = in_process("store", "copy", target, "tiny/lora", cwd=tiny.folder)
    assert done.returncode == 0, done.stderr
    store, run = open_store(target), tiny.runs["lora"]
    assert [r.id for r in store.find()] == [run.id]
    assert store.get("tiny/lora") == run
    assert store.samples(run.id) == tiny.store.samples(run.id)
    folder = store.checkpoints.get(run.checkpoint.digest)
    assert folder is not None
    assert open_checkpoint(folder, verify=True).adapter_folder == folder
    again = in_process("store", "copy", target, cwd=tiny.folder)
    assert "4 runs" in again.stdout
    assert in_process("store", "check", "-w", target, cwd=tiny.folder).returncode == 0


def test_damage_is_named_and_exits_2(tiny, in_process, tmp_path) -> None:  # type: ignore[no-untyped-def]
    hurt = tmp_path / "hurt"
    shutil.copytree(tiny.folder / ".steelyard", hurt)
    rows = next((hurt / "runs").glob("*/rows.parquet"))
    rows.write_bytes(rows.read_bytes()[:-20])
    done = in_process("store", "check", "-w", hurt, cwd=tmp_path)
    assert done.returncode == 2
    assert rows.parent.name in done.stdout
    assert "Traceback" not in done.stderr


def test_a_lost_index_is_made_anew(tiny, in_process, tmp_path) -> None:  # type: ignore[no-untyped-def]
    moved = tmp_path / "moved"
    shutil.copytree(tiny.folder / ".steelyard", moved)
    for file in moved.glob("index.sqlite*"):
        file.unlink()
    done = in_process("store", "rebuild", "-w", moved, cwd=tmp_path)
    assert done.returncode == 0
    assert f"{len(tiny.runs)} runs indexed" in done.stdout


def test_gc_lists_and_only_with_delete_removes(tiny, in_process, tmp_path) -> None:  # type: ignore[no-untyped-def]
    littered = tmp_path / "littered"
    shutil.copytree(tiny.folder / ".steelyard", littered)
    run = tiny.runs["orpo"]
    open_store(littered).runs.delete(run.id)
    for stage in (littered / "stages").iterdir():
        stage.unlink()
    listed = in_process("store", "gc", "-w", littered, cwd=tmp_path)
    assert "can be removed" in listed.stdout
    before = len(list((littered / "checkpoints").iterdir()))
    done = in_process("store", "gc", "--delete", "-w", littered, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(list((littered / "checkpoints").iterdir())) < before
    assert in_process("store", "check", "-w", littered, cwd=tmp_path).returncode == 0


def test_a_workspace_that_is_not_there_is_one_line(tiny, in_process, tmp_path) -> None:  # type: ignore[no-untyped-def]
    for verb in ("check", "rebuild", "gc"):
        done = in_process("store", verb, "-w", "nowhere", cwd=tmp_path)
        assert done.returncode == 2
        assert "no such workspace" in done.stderr
    itself = in_process("store", "copy", ".steelyard", cwd=tiny.folder)
    assert itself.returncode == 2 and "onto itself" in itself.stderr
