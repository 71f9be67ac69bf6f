"""A policy and runs as files, for tests of what surrounds the gate."""

from __future__ import annotations

from pathlib import Path

from steelyard.harness.compare import Scored, baseline_file
from tests.harness.scored_runs import rows, scored, with_flips, zero_one

POLICY = """
draws: 1000
rules:
  - {name: keeps what it knew, task: known, margin: 0.05}
  - {name: keeps style, task: style, margin: 0.05, tier: warn}
"""
SAMPLES = 600


def toy_run(name: str, lost: int = 0, gained: int = 0, *, style_lost: int = 0) -> Scored:
    """A run of two tasks that lost and gained so many answers against ``base``."""
    known, style = zero_one(SAMPLES, 0.6), zero_one(SAMPLES, 0.7, seed=3)
    held = [
        rows("known", "acc", with_flips(known, lost, gained)),
        rows("style", "acc", with_flips(style, style_lost, 0)),
    ]
    return scored(name, held)


def write_toy_gate(folder: Path, policy: str = POLICY) -> None:
    """``policy.yaml`` and baseline files of runs that pass, fail, warn and cannot be decided."""
    (folder / "policy.yaml").write_text(policy)
    runs = {
        "base": toy_run("base"),
        "good": toy_run("good", 10, 10),
        "bad": toy_run("bad", 90, 0),
        "warned": toy_run("warned", 10, 10, style_lost=90),
        "unsure": toy_run("unsure", 75, 50),
        "short": _short(toy_run("short")),
    }
    for name, run in runs.items():
        baseline_file.save(run, folder / f"{name}.steelyard.json.gz")


def _short(run: Scored) -> Scored:
    held = [
        rows(task, metric, r.values[1:, 0], ids=r.sample_ids[1:])
        for (task, metric), r in run.rows.items()
    ]
    return scored(run.name, held)
