"""Words over whole comparisons: how often any is said of equal models, and of a planted fall.

    python benchmarks/families.py [--comparisons 200]

Equal models: candidates x tasks of 0/1 rows, of which a tenth differ from the baseline's by chance
alone. A comparison counts where it holds any word but "can't tell" and "identical". The planted
fall: ten candidates on twenty tasks of 1,000 items, one of which lost five points on one task at a
discordance of a tenth. Rows go through ``paired_test`` and ``compare.families``, as in compare.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

from steelyard.harness.compare.families import adjusted
from steelyard.harness.records import Delta, DeltaVerdict
from steelyard.harness.stats import paired_test

QUIET: tuple[DeltaVerdict | None, ...] = ("inconclusive", "identical", None)
CANDIDATES, TASKS = (10, 40), (5, 20, 60)
ITEMS = 200


def tested(task: str, before: NDArray[np.float64], after: NDArray[np.float64]) -> Delta:
    """The difference of one task, as a comparison records it."""
    result = paired_test(before, after, kind="accuracy")
    return Delta(
        task=task,
        metric="acc",
        family="quality",
        kind="accuracy",
        primary=True,
        higher_is_better=True,
        baseline=float(before.mean()),
        candidate=float(after.mean()),
        delta=result.delta,
        p_value=result.p_value,
        verdict="identical" if np.array_equal(before, after) else "inconclusive",
    )


def equal(rng: np.random.Generator, candidates: int, tasks: int) -> bool:
    """Whether one comparison of equal models holds a word."""
    baselines = (rng.random((tasks, ITEMS)) < 0.7).astype(float)
    sides = []
    for _ in range(candidates):
        changed = rng.random((tasks, ITEMS)) < 0.1
        drawn = (rng.random((tasks, ITEMS)) < 0.7).astype(float)
        rows = np.where(changed, drawn, baselines)
        sides.append([tested(f"t{i}", baselines[i], rows[i]) for i in range(tasks)])
    return any(d.verdict not in QUIET for side in adjusted(sides) for d in side)


def planted(rng: np.random.Generator) -> bool:
    """Whether a fall of five points on one of twenty tasks, of ten candidates, is called."""
    n, tasks, candidates = 1000, 20, 10
    baselines = (rng.random((tasks, n)) < 0.7).astype(float)
    sides = []
    for number in range(candidates):
        deltas = []
        for i, before in enumerate(baselines):
            # Lost and gained with rates that give discordance .1 and a change of 0 or -.05.
            lost, gained = (0.075, 0.025) if (number, i) == (0, 0) else (0.05, 0.05)
            share = before.mean()
            rate = np.where(before == 1, lost / share, gained / (1 - share))
            deltas.append(
                tested(f"t{i}", before, np.where(rng.random(n) < rate, 1 - before, before))
            )
        sides.append(deltas)
    return adjusted(sides)[0][0].verdict == "worse"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--comparisons", type=int, default=200)
    count = parser.parse_args().comparisons
    print("# Words over whole comparisons\n")
    print(f"{count} comparisons a cell; {ITEMS} items a task, discordance about .04.")
    print("`python benchmarks/families.py`\n")
    print("| equal models | comparisons with any word |\n|---|---|")
    for candidates in CANDIDATES:
        for tasks in TASKS:
            rng = np.random.default_rng([candidates, tasks])
            spoken = sum(equal(rng, candidates, tasks) for _ in range(count))
            print(f"| {candidates} candidates x {tasks} tasks | {spoken / count:.3f} |", flush=True)
    rng = np.random.default_rng(1)
    called = sum(planted(rng) for _ in range(count))
    print("\nA fall of 5 points on one of 20 tasks (10 candidates, n = 1,000), ", end="")
    print(f"called in {called / count:.3f}.")


if __name__ == "__main__":
    main()
