"""Whole runs of the command, shared by the tests that look at their results."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from steelyard.harness.records import Run
from steelyard.harness.store import FolderStore, open_store

Steelyard = Callable[..., "subprocess.CompletedProcess[str]"]

#: Four candidates in a few steps each, scored on a few items: the whole loop in half a minute.
TINY = """
name: tiny
base: microworld
seed: 0
data:
  facts: {path: data/facts_b.jsonl}
  pairs: {path: data/preferences.jsonl}
candidates:
  full: {trainer: full, data: facts, steps: 12, batch_size: 16, learning_rate: 5.0e-4}
  lora: {trainer: lora, data: facts, steps: 12, batch_size: 16, rank: 4, learning_rate: 2.0e-3}
  orpo: {trainer: orpo, parent: full, data: pairs, steps: 4, batch_size: 8}
  nf4: {trainer: quantize, parent: lora, scheme: nf4}
suite: microworld
limit: 12
energy: {country: FRA}
gate:
  baseline: base
  waive_contamination: {"microworld_*": the data teach the facts that the tasks ask for}
  rules:
    - {task: microworld_known, margin: 0.5}
report: [html, markdown, json, csv, junit]
"""


def run_steelyard(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own; nothing is raised for its exit code."""
    return subprocess.run(
        [sys.executable, "-m", "steelyard.harness.cli.main", *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "160", "HF_HUB_OFFLINE": "1"},
        stdin=subprocess.DEVNULL,
    )


def run_here(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The command in this process, which need not import torch again, where no process is tested.

    What it says and its exit code are those of a process: errors become a line and a code too.
    """
    from steelyard.harness.cli.main import main

    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    code = 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(cwd)
        patch.setenv("COLUMNS", "160")
        patch.setattr(sys, "argv", ["steelyard", *map(str, arguments)])
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode())  # type: ignore[attr-defined]
    return subprocess.CompletedProcess(["steelyard", *map(str, arguments)], code, *texts)


@pytest.fixture(scope="session")
def steelyard() -> Steelyard:
    return run_steelyard


@pytest.fixture(scope="session")
def in_process() -> Steelyard:
    return run_here


def write_tiny(folder: Path) -> Path:
    """The tiny experiment and its data in ``folder``; returns the experiment file."""
    from steelyard.tasks.microworld.training import write

    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "data")
    file = folder / "tiny.yaml"
    file.write_text(TINY)
    return file


@dataclass(frozen=True)
class Finished:
    """A finished run of the command."""

    folder: Path
    done: subprocess.CompletedProcess[str]

    @property
    def store(self) -> FolderStore:
        return open_store(self.folder / ".steelyard")

    @property
    def runs(self) -> Mapping[str, Run]:
        first = next(iter(self.store.find())).experiment
        return {run.candidate: run for run in self.store.find(experiment=first)}

    def value(self, candidate: str, task: str, metric: str) -> float:
        score = self.runs[candidate].score(task, metric)
        assert score is not None, f"{candidate} has no {metric} on {task}"
        assert score.value is not None, f"{candidate}: {metric} on {task} is unscored"
        return score.value


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The tiny experiment, run once undisturbed."""
    folder = tmp_path_factory.mktemp("tiny")
    write_tiny(folder)
    return Finished(folder, run_steelyard("run", "tiny.yaml", cwd=folder))


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The demo, run once (minutes: only slow tests ask for it)."""
    parent = tmp_path_factory.mktemp("demo")
    done = run_steelyard("demo", cwd=parent)
    return Finished(parent / "steelyard-demo", done)
