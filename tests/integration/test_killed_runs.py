"""`kill -9` anywhere, then the same command: the same numbers, and nothing finished is redone."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from steelyard.harness.store import open_store

pytestmark = pytest.mark.slow


def killed_after(seconds: float, folder: Path) -> bool:
    """Start the run, kill it without mercy; False where it was done before."""
    process = subprocess.Popen(
        [sys.executable, "-m", "steelyard.harness.cli.main", "run", "tiny.yaml"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=(folder / "log.txt").open("a"),
        start_new_session=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return True
    return False


def test_five_kills_change_nothing(tiny, steelyard, tmp_path) -> None:  # type: ignore[no-untyped-def]
    from importlib import import_module

    write = import_module("steelyard.tasks.microworld.training").write
    write(tmp_path / "data")
    (tmp_path / "tiny.yaml").write_text((tiny.folder / "tiny.yaml").read_text())
    started = time.monotonic()
    draw = random.Random(7)
    kills = 0
    while kills < 5:
        # A fresh process needs a while to import; each kill lands somewhere in what is left.
        if not killed_after(draw.uniform(4, 25), tmp_path):
            break
        kills += 1
    assert kills >= 3, f"only {kills} kills in {time.monotonic() - started:.0f} s"
    done = steelyard("run", "tiny.yaml", cwd=tmp_path)
    assert done.returncode == tiny.done.returncode, done.stderr

    store = open_store(tmp_path / ".steelyard")
    runs = {run.candidate: run for run in store.find()}
    for name, run in tiny.runs.items():
        assert runs[name].scores == run.scores, name
        assert runs[name].checkpoint.digest == run.checkpoint.digest, name
    lines = (tmp_path / "log.txt").read_text().splitlines() + done.stderr.splitlines()
    for stage in ("train", "score"):
        for name in runs:
            finished = [
                line
                for line in lines
                if line.startswith("✓") and line.split()[1:3] == [stage, name]
            ]
            assert len(finished) <= 1, finished
    assert not store.upkeep.check()
    assert not list((tmp_path / ".steelyard" / "tmp").rglob("*.safetensors"))
