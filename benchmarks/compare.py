"""How long comparing 50 runs x 60 tasks x 1,000 samples takes, and how much memory.

    python benchmarks/compare.py [--runs 50] [--tasks 60] [--samples 1000] [--kinds mixed]

Runs are made of random rows: ``accuracy`` only, or ``mixed``: of every ten tasks seven are 0/1, two
bounded and one perplexity. Samples carry one slice field with 20 values where ``--slices``.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from steelyard.harness.compare import Scored, compare
from steelyard.harness.records import SampleRecord
from tests.harness.scored_runs import rows, sample, scored

KINDS = {"accuracy": ("accuracy",), "mixed": ("accuracy",) * 7 + ("bounded",) * 2 + ("perplexity",)}


def values_of(kind: str, shared: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n, k) rows that agree with ``shared`` on nine samples of ten."""
    moved = np.where(rng.random(len(shared)) < 0.1, rng.random(len(shared)), shared)
    if kind == "accuracy":
        return (moved > 0.4).astype(float)
    if kind == "bounded":
        return moved
    return np.column_stack([-20 * moved - 1, np.full(len(moved), 20.0)])


def made(arguments: argparse.Namespace) -> tuple[list[Scored], list[SampleRecord]]:
    """The runs, the first of them the baseline, and their samples."""
    kinds = KINDS[arguments.kinds]
    names = [f"task{i:02d}" for i in range(arguments.tasks)]
    ids = {t: [f"{t}-{i:060d}" for i in range(arguments.samples)] for t in names}
    shared = {t: np.random.default_rng(i).random(arguments.samples) for i, t in enumerate(names)}
    samples = (
        [
            sample(t, id, slices={"subject": str(i % 20)})
            for t in names
            for i, id in enumerate(ids[t])
        ]
        if arguments.slices
        else []
    )
    runs = []
    for number in range(arguments.runs + 1):
        rng = np.random.default_rng([number, 7])
        held, fields = [], {}
        for i, task in enumerate(names):
            kind = kinds[i % len(kinds)]
            # Strings of their own, as a store would read them.
            own = [id[:-1] + id[-1] for id in ids[task]]
            held.append(rows(task, kind, values_of(kind, shared[task], rng), ids=own))
            down = {"higher_is_better": False, "value": 2.0} if kind == "perplexity" else {}
            fields[task, kind] = {"kind": kind, **down}
        runs.append(scored(f"run{number}", held, scores=fields, samples=samples or None))
    return runs, samples


def main() -> None:
    """Print the seconds and the memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--tasks", type=int, default=60)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--kinds", choices=sorted(KINDS), default="mixed")
    parser.add_argument("--slices", action="store_true")
    arguments = parser.parse_args()
    (baseline, *candidates), _ = made(arguments)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    started, busy = time.perf_counter(), time.process_time()
    found = compare(baseline, candidates)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - busy
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    deltas = sum(len(c.deltas) + len(c.slices) for c in found)
    print(
        f"{arguments.runs} runs x {arguments.tasks} tasks x {arguments.samples} samples, "
        f"{arguments.kinds}: {deltas} tests in {seconds:.1f} s ({cpu_seconds:.1f} s of CPU), "
        f"peak {peak:.0f} MiB of which the runs {before:.0f}"
    )


if __name__ == "__main__":
    main()
