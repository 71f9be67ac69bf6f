"""How many items does an early decision take? Median share of the items used, cell by cell.

    python benchmarks/stats_economy.py --table benchmarks/results/stats_economy.md

Populations of N differences of 0/1 scores with an exact mean, taken in random order; margin two
points, alpha .05 a side, no knowledge of the discordance. ``trial`` is what an earlier
trial of a betting martingale took.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from steelyard.harness.stats import SequentialTest

MARGIN = 0.02
ALPHA = 0.05
#: (true change, N, discordance) -> the trial's median share of items used.
TRIAL = {
    (0.00, 1319, 0.06): 0.54,
    (0.00, 1319, 0.12): 0.68,
    (0.00, 3000, 0.06): 0.31,
    (0.00, 3000, 0.12): 0.48,
    (0.00, 10042, 0.06): 0.11,
    (0.00, 10042, 0.12): 0.20,
    (0.01, 1319, 0.06): 0.27,
    (0.01, 1319, 0.12): 0.45,
    (0.01, 3000, 0.06): 0.13,
    (0.01, 3000, 0.12): 0.28,
    (0.01, 10042, 0.06): 0.05,
    (0.01, 10042, 0.12): 0.10,
    (-0.03, 1319, 0.06): 0.81,
    (-0.03, 1319, 0.12): 0.90,
    (-0.03, 3000, 0.06): 0.59,
    (-0.03, 3000, 0.12): 0.79,
    (-0.03, 10042, 0.06): 0.31,
    (-0.03, 10042, 0.12): 0.51,
    (-0.05, 1319, 0.06): 0.26,
    (-0.05, 1319, 0.12): 0.44,
    (-0.05, 3000, 0.06): 0.13,
    (-0.05, 3000, 0.12): 0.25,
    (-0.05, 10042, 0.06): 0.03,
    (-0.05, 10042, 0.12): 0.10,
}


@dataclass(frozen=True)
class Economy:
    """Shares of the items used over all draws of a cell, and how often the verdict was wrong."""

    median: float
    mean: float
    ninetieth: float
    wrong: float


def population(n: int, discordance: float, change: float) -> np.ndarray:
    """n differences of -1, 0, 1 whose mean is ``change`` to the nearest item."""
    changed, net = round(discordance * n), round(change * n)
    gained = (changed + net) // 2
    values = np.zeros(n)
    values[:gained], values[gained : 2 * gained - net] = 1.0, -1.0
    return values


def economy(n: int, discordance: float, change: float, draws: int, seed: int = 0) -> Economy:
    """Take ``draws`` random orders of one population and stop each as soon as it is decided."""
    rng = np.random.default_rng(seed)
    values = population(n, discordance, change)
    right = "pass" if change > -MARGIN else "fail"
    used, wrong = np.empty(draws), 0
    for index in range(draws):
        test = SequentialTest(n, margin=MARGIN, alpha=ALPHA)
        wrong += test.update(rng.permutation(values)) != right
        used[index] = test.used / n
    return Economy(
        float(np.median(used)), float(used.mean()), float(np.quantile(used, 0.9)), wrong / draws
    )


def main() -> None:
    """Run every cell and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--table", type=Path)
    chosen = parser.parse_args()
    lines = [
        "| true change | N | discordance | trial | median | mean | 90% | wrong verdict |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (change, n, discordance), trial in TRIAL.items():
        one = economy(n, discordance, change, chosen.draws)
        lines.append(
            f"| {change:+.2f} | {n} | {discordance} | {trial:.2f} | {one.median:.3f} "
            f"| {one.mean:.3f} | {one.ninetieth:.3f} | {one.wrong:.1%} |"
        )
        print(lines[-1], flush=True)
    if chosen.table:
        chosen.table.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
