"""The whole microworld demo by every executor: are the scores the same, bit for bit?

    python benchmarks/demo_executors.py

The experiment of ``steelyard demo`` on one core a stage, by `inline`, by `local` with two processes
and by `ray` with two workers, each in a workspace of its own. Compared with `inline`'s: every
checkpoint's digest, every score with its interval, every row. Exits 1 where anything differs.
Results: benchmarks/results/demo_executors.md.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from steelyard.harness.store import FolderStore, open_store
from steelyard.tasks.microworld.demo import write_files

HOW = {
    "inline": [],
    "local, 2 workers": ["--executor", "local", "--workers", "2"],
    "ray, 2 workers": ["--executor", "ray", "--address", "local", "--workers", "2"],
}


def carried_out(file: Path, workspace: Path, how: list[str]) -> float:
    """Seconds of one run of the demo's experiment; 1 is a regression, which the demo has."""
    command = [
        sys.executable,
        "-m",
        "steelyard.harness.cli.main",
        "run",
        str(file),
        "-w",
        str(workspace),
    ]
    began = time.perf_counter()
    done = subprocess.run(
        [*command, *how, "--format", "json"],
        cwd=file.parent,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        check=False,
    )
    if done.returncode not in (0, 1, 4):
        sys.exit(done.stderr.decode())
    return time.perf_counter() - began


def differences(expected: FolderStore, found: FolderStore) -> list[str]:
    """What differs between two workspaces; none is what must be."""
    theirs, ours = ({run.candidate: run for run in store.find()} for store in (expected, found))
    if set(ours) != set(theirs):
        return [f"other candidates: {sorted(set(ours) ^ set(theirs))}"]
    different = []
    for name, run in theirs.items():
        if ours[name].checkpoint.digest != run.checkpoint.digest:
            different.append(f"{name}: another checkpoint")
        if ours[name].scores != run.scores:
            different.append(f"{name}: other scores")
        pairs = list(zip(expected.rows(run.id), found.rows(ours[name].id), strict=True))
        if not all(
            a.sample_ids == b.sample_ids and np.array_equal(a.values, b.values, equal_nan=True)
            for a, b in pairs
        ):
            different.append(f"{name}: other rows")
    return different


def counted(store: FolderStore) -> tuple[int, int, int]:
    """Checkpoints, scores and rows of a workspace."""
    runs = list(store.find())
    rows = sum(len(part.sample_ids) for run in runs for part in store.rows(run.id))
    return len(runs), sum(len(run.scores) for run in runs), rows


def main() -> None:
    """Run the three, compare, write the table."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    folder = Path(tempfile.mkdtemp(prefix="demo-executors-"))
    file = write_files(folder)
    with file.open("a", encoding="utf-8") as lines:
        lines.write("\nresources: {train: {cpus: 1}, score: {cpus: 1}}\n")
    table, failed = [], False
    for number, (name, how) in enumerate(HOW.items()):
        seconds = carried_out(file, folder / str(number), how)
        expected, found = open_store(folder / "0"), open_store(folder / str(number))
        different = differences(expected, found)
        failed = failed or bool(different)
        checkpoints, scores, rows = counted(found)
        what = "; ".join(different) or ("every bit equal" if number else "")
        table.append(f"| {name} | {seconds:.0f} s | {checkpoints} | {scores} | {rows} | {what} |")
        print(table[-1], flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    text = page(table)
    print(text)
    (Path(__file__).parent / "results" / "demo_executors.md").write_text(text, encoding="utf-8")
    sys.exit(int(failed))


def page(table: list[str]) -> str:
    """The table and what it holds."""
    lines = [
        "# The demo by every executor",
        "",
        f"`python benchmarks/demo_executors.py`: the experiment of `steelyard demo`, "
        f"one core a stage; "
        f"{len(os.sched_getaffinity(0))} cores.",
        "",
        "| executor | whole command | checkpoints | scores | rows | against `inline` |",
        "|---|---|---|---|---|---|",
        *table,
    ]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
