"""A checkpoint is opened in a process that has seen nothing of its training."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from harness.checkpoints import check, check_in_fresh_process, fresh_process
from harness.checkpoints.fresh_process import server
from harness.errors import CheckpointError
from harness.records import Checkpoint
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
    found = check_in_fresh_process(lora, base, prompt="who lives in the tower ?")
    assert found["opened"] == "in a fresh process, with the manifest's digests"
    assert found["sample output"].startswith('"who lives in the tower ?" -> "')
    assert found.items() - check(lora, base, prompt="who lives in the tower ?").items() == {
        ("opened", found["opened"])
    }


def test_what_training_leaves_in_its_process_does_not_reach_it(
    base: Checkpoint, lora: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from harness.checkpoints import checks

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


def _forked_server_and_a_check(lora: Checkpoint, base: Checkpoint, closing: Any, told: Any) -> None:
    fresh_process.fork_server(closing=closing)
    told.send((server().pid, dict(check_in_fresh_process(lora, base))))


@pytest.mark.slow
def test_a_fork_of_a_process_that_has_computed_nothing_serves_as_well(
    base: Checkpoint, lora: Checkpoint
) -> None:
    context = multiprocessing.get_context("forkserver")
    ours, theirs = context.Pipe()
    kept, closing = context.Pipe()
    child = context.Process(target=_forked_server_and_a_check, args=(lora, base, closing, theirs))
    child.start()
    theirs.close()
    closing.close()
    server_pid, found = ours.recv()
    assert found["opened"] == "in a fresh process, with the manifest's digests"
    child.join()
    assert child.exitcode == 0
    with pytest.raises(EOFError):  # nobody holds what the server was told to close
        kept.recv()
    assert not Path(f"/proc/{server_pid}").exists()
