"""How often `steelyard watch` cries wolf, and how soon it sees a fall.

    python benchmarks/watch.py            # some minutes; writes benchmarks/results/watch.md

A recipe is watched over many releases on three tasks of the same items. Releases that equal the
baseline answer a tenth of the items otherwise, as retraining does; a planted fall takes points off
one task from one release on. Counted is whether any alarm is raised, as `steelyard watch` would.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from steelyard.harness.compare import Scored, releases_against  # noqa: E402
from tests.harness.scored_runs import rows, scored  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "watch.md"
TASKS, ITEMS, RELEASES, BUDGET = 3, 400, 20, 0.05
FALL_AT = 6
FALLS = (0.0, 0.05, 0.1)


def release(name: str, base: np.ndarray, rng: np.random.Generator, fall: float) -> Scored:
    """A release whose answers differ from ``base`` (tasks x items) on a tenth, up and down alike;
    ``fall``: the share of the first task's items that are lost besides."""
    # As many right answers are lost as wrong ones are gained, in expectation.
    right = base.mean(axis=1, keepdims=True)
    chance = 0.05 / np.where(base == 1, right, 1 - right)
    flips = rng.random(base.shape) < chance
    values = np.where(flips, 1 - base, base)
    lost = (rng.random(ITEMS) < fall / values[0].mean()) & (values[0] == 1)
    values[0, lost] = 0
    return scored(name, [rows(f"t{i}", "acc", each) for i, each in enumerate(values)])


def watched(seed: int, fall: float) -> tuple[bool, int | None]:
    """Whether a watch alarmed before any fall, and how long after it the first alarm came."""
    rng = np.random.default_rng(seed)
    truth = (rng.random((TASKS, ITEMS)) < 0.7).astype(float)
    # What the baseline shows is one draw as well: a release like any other.
    first = release("r0", truth, rng, 0.0)
    runs = [
        release(f"r{k}", truth, rng, fall if k >= FALL_AT else 0.0) for k in range(1, RELEASES + 1)
    ]
    alarms = [each.number for each in releases_against(first, runs, BUDGET) if each.drifted]
    early = any(number < FALL_AT or not fall for number in alarms)
    late = [number for number in alarms if number >= FALL_AT]
    return early, (late[0] - FALL_AT if late and fall else None)


def main() -> None:
    """Simulate and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--watches", type=int, default=400)
    options = parser.parse_args()
    lines = [
        "# Watch",
        "",
        f"`python benchmarks/watch.py`: {options.watches} watches of {RELEASES} releases on "
        f"{TASKS} tasks of {ITEMS} items, budget {BUDGET}; a fall begins at release {FALL_AT}.",
        "",
        "| planted fall on one task | watches with an alarm before it (any, where there is none) | "
        "found by the last release | releases after it, median of those found |",
        "|---|---|---|---|",
    ]
    for fall in FALLS:
        ends = [watched(seed, fall) for seed in range(options.watches)]
        early = np.mean([each[0] for each in ends])
        delays = [each[1] for each in ends if each[1] is not None]
        found = f"{len(delays) / len(ends):.3f}" if fall else "–"
        median = f"{np.median(delays):.0f}" if delays else "–"
        lines.append(f"| {100 * fall:g} points | {early:.3f} | {found} | {median} |")
        print(lines[-1], flush=True)
    RESULTS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
