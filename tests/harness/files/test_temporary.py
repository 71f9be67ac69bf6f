"""What a killed process leaves in ``$TMPDIR`` is removed by the next start, and nothing else is."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from steelyard.harness.files import temporary
from steelyard.harness.files.temporary import own_folder, remove_abandoned, temporary_folder

LIVING = """
import sys, time
from steelyard.harness.files.temporary import own_folder
(own_folder() / "listener-socket").touch()
print(own_folder(), flush=True)
time.sleep(600)
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty ``$TMPDIR``."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(temporary, "_own", None)
    monkeypatch.setattr(temporary, "_kept", False)
    yield tmp_path
    if temporary._own is not None:
        os.close(temporary._own[1])


def test_the_folder_of_a_killed_process_goes_and_that_of_a_living_one_stays(place: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", LIVING], stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    assert process.stdout is not None
    folder = Path(process.stdout.readline().strip())
    assert folder.parent == place
    remove_abandoned()
    assert (folder / "listener-socket").exists()
    process.kill()
    process.wait()
    assert own_folder() != folder  # the next start
    assert not folder.exists()


def test_what_is_not_ours_is_never_removed(place: Path) -> None:
    theirs = [place / "pymp-abcdefgh", place / "steelyard-notes", place / "torchelastic_x"]
    for folder in theirs:
        folder.mkdir()
    victim = place / "victim"
    victim.mkdir()
    (victim / "owner.lock").write_text("process 1\n")
    (place / "steelyard-link").mkdir()
    (place / "steelyard-link" / "owner.lock").symlink_to(victim / "owner.lock")
    beginning = place / "steelyard-aaaaaaaa"
    beginning.mkdir()
    (beginning / "owner.lock").touch()  # its process has not said yet that it is there
    remove_abandoned()
    assert all(path.is_dir() for path in (*theirs, victim, beginning, place / "steelyard-link"))
    old = time.time() - 3600
    os.utime(beginning / "owner.lock", (old, old))
    remove_abandoned()
    assert not beginning.exists()


def test_a_temporary_folder_is_gone_after_its_block(place: Path) -> None:
    with pytest.raises(KeyError), temporary_folder("launch") as folder:
        (folder / "file").touch()
        raise KeyError
    # A forked check ends by `os._exit`, which calls nobody: nothing may be left by then.
    assert list(place.iterdir()) == []
    kept = own_folder()
    with temporary_folder("launch") as folder:
        assert folder.parent == kept
    assert [path.name for path in kept.iterdir()] == ["owner.lock"]


def _folder_of_a_child(pipe) -> None:  # type: ignore[no-untyped-def]
    pipe.send(str(own_folder()))


def test_a_forked_child_has_a_folder_of_its_own_and_removes_it(place: Path) -> None:
    mine = own_folder()
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    child = context.Process(target=_folder_of_a_child, args=(theirs,))
    child.start()
    folder = Path(ours.recv())
    child.join()
    assert folder != mine
    assert folder.parent == place
    assert not folder.exists()
    assert mine.is_dir()


def test_sockets_of_worker_processes_lie_in_the_folder_of_their_driver(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from steelyard.harness.pipeline.executors import starting

    config: dict[str, object] = {}
    process = multiprocessing.current_process()
    monkeypatch.setattr(process, "_config", config)
    short = Path("/", "short", "steelyard-aaaaaaaa")  # it need not be there
    starting._keep_sockets_in(short)
    assert multiprocessing.util.get_temp_dir() == str(short)
    config.clear()
    starting._keep_sockets_in(Path("/" + "x" * 100))  # 119 bytes: no socket can be called so
    assert config == {}
