"""A checkpoint is opened in a process that has seen nothing of its training."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from steelyard.harness.checkpoints import check, check_in_fresh_process, fresh_process
from steelyard.harness.checkpoints.fresh_process import server
from steelyard.harness.errors import CheckpointError
from steelyard.harness.records import Checkpoint
from tests.trainers import tiny_jobs


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return tiny_jobs.save_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def lora(base: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    folder = tmp_path_factory.mktemp("trained")
    return tiny_jobs.train("lora", base, folder / "lora", steps=2, learning_rate=1e-2)


def test_it_finds_what_a_check_in_this_process_finds_and_keeps_a_sample(
    base: Checkpoint, lora: Checkpoint
) -> None:
    here = check(lora, base, prompt="who lives in the tower ?")
    found = check_in_fresh_process(lora, base, prompt="who lives in the tower ?")
    assert found["opened"] == "in a fresh process, with the manifest's digests"
    assert found["sample output"].startswith('"who lives in the tower ?" -> "')
    assert "as trained" in found["loss"]
    assert found.items() - here.items() == {("opened", found["opened"])}


def test_what_training_leaves_in_its_process_does_not_reach_it(
    base: Checkpoint, lora: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from steelyard.harness.checkpoints import checks

    monkeypatch.setattr(checks, "_log_probabilities", lambda model: torch.tensor(float("nan")))
    with pytest.raises(CheckpointError, match="its log-probabilities are not finite"):
        check(lora, base)
    assert check_in_fresh_process(lora, base)["finite"]


def test_weights_that_changed_since_the_manifest_are_found(
    base: Checkpoint, tmp_path: Path
) -> None:
    full = tiny_jobs.train("full", base, tmp_path / "full", steps=1)
    config = json.loads((full.folder / "config.json").read_text())
    (full.folder / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 0.5}))
    with pytest.raises(CheckpointError, match="the weights changed since the manifest") as told:
        check_in_fresh_process(full, base)
    assert told.value.file == str(full.folder)
    assert told.value.fix


@pytest.mark.slow
def test_a_process_that_dies_is_named_and_the_next_check_has_another(
    base: Checkpoint, lora: Checkpoint
) -> None:
    os.kill(server().pid, signal.SIGKILL)
    with pytest.raises(CheckpointError, match=r"the process that opened it died \(signal 9\)"):
        check_in_fresh_process(lora, base)
    assert check_in_fresh_process(lora, base)["finite"]


def _forked_server_and_a_check(lora: Checkpoint, base: Checkpoint, held: Any, told: Any) -> None:
    fresh_process.fork_server()
    told.send((server().pid, dict(check_in_fresh_process(lora, base))))
    held.close()
    told.recv()


@pytest.mark.slow
def test_a_fork_of_a_process_that_has_computed_nothing_serves_as_well(
    base: Checkpoint, lora: Checkpoint
) -> None:
    context = multiprocessing.get_context("forkserver")
    ours, theirs = context.Pipe()
    kept, held = context.Pipe()
    child = context.Process(target=_forked_server_and_a_check, args=(lora, base, held, theirs))
    child.start()
    theirs.close()
    held.close()
    server_pid, found = ours.recv()
    assert found["opened"] == "in a fresh process, with the manifest's digests"
    with pytest.raises(EOFError):  # the server does not hold open what its process held
        kept.recv()
    assert Path(f"/proc/{server_pid}").exists()
    ours.send("end")
    child.join()
    assert child.exitcode == 0
    deadline = time.monotonic() + 10
    while Path(f"/proc/{server_pid}").exists():
        assert time.monotonic() < deadline, "the server outlives its process"
        time.sleep(0.05)


ONE_TRAINING = """
import sys
from steelyard.harness.checkpoints import fresh_process
fresh_process.nvidia_smi = lambda fields: tuple(sys.argv[1:])
fresh_process.server()
print("peft" in sys.modules)  # a process that forks imports first, another leaves it to the server
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "gpus", "told"),
    [("", [], "True"), ("import torch", [], "False"), ("", ["NVIDIA H100"], "False")],
)
def test_only_a_process_that_has_not_imported_torch_forks_its_server(
    first: str, gpus: list[str], told: str
) -> None:
    script = [sys.executable, "-c", first + ONE_TRAINING, *gpus]
    done = subprocess.run(script, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == told


KILLED_IN_A_CHECK = """
import os, sys, time
from pathlib import Path
from steelyard.harness.checkpoints import fresh_process
fresh_process.nvidia_smi = lambda fields: ()
fresh_process._answer = lambda request: time.sleep(1.5) or {}
try:
    fresh_process.server()
    print(fresh_process.server().pid, flush=True)
    fresh_process._asked("{}")
finally:
    Path(sys.argv[1]).write_text(f"{os.getpid()}")
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_forked_server_never_goes_on_with_what_its_process_was_at(
    how: signal.Signals, tmp_path: Path
) -> None:
    """It ends with its process, in the middle of a check too, and runs none of its code."""
    mark = tmp_path / "unwound"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED_IN_A_CHECK, str(mark)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    server_pid = int(process.stdout.readline())
    time.sleep(0.5)
    if how is signal.SIGKILL:
        process.kill()
    else:
        os.killpg(process.pid, signal.SIGINT)
    process.wait()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{server_pid}").exists():
        assert time.monotonic() < deadline, "the server outlives its process"
        time.sleep(0.05)
    if how is signal.SIGKILL:
        assert not mark.exists()
    else:
        assert mark.read_text() == str(process.pid)
