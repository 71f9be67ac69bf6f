"""What full runs decide, and what slices show: power at a margin, false and true slice alarms.

    python benchmarks/stats_power.py --table benchmarks/results/stats_power.md

Full runs: 1,319 items, 10% of them change, margin two points, alpha .05 a side. Slices: 20 of 60
items, 10% change, one-sided at margin 0, Benjamini-Hochberg over the slices.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np

from steelyard.harness.stats import paired_test, slice_tests


def full_run_verdicts(change: float, draws: int, n: int = 1319) -> Counter[str]:
    """Verdicts over ``draws`` runs of n items whose true change is ``change``."""
    rng = np.random.default_rng(7)
    chances = [(0.10 - change) / 2, (0.10 + change) / 2, 0.90]
    found: Counter[str] = Counter()
    flips = Counter((int(lost), int(won)) for lost, won, _ in rng.multinomial(n, chances, draws))
    for (lost, won), times in flips.items():
        before, after = np.zeros(n), np.zeros(n)
        before[:lost], after[lost : lost + won] = 1, 1
        found[paired_test(before, after, kind="accuracy", margin=0.02).verdict] += times
    return found


def slice_alarms(drop: float, runs: int, seed: int = 8) -> tuple[float, float]:
    """(share of runs with a false alarm, share that find the drop planted in slice 7)."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(20), 60)
    false = found = 0
    for _ in range(runs):
        lost = np.where(labels == 7, 0.05 + drop, 0.05)
        u = rng.random(len(labels))
        before, after = (u < lost).astype(float), (u > 0.95).astype(float)
        alarms = {
            one.name for one in slice_tests(before, after, labels, kind="accuracy") if one.flagged
        }
        found += 7 in alarms and drop > 0
        false += bool(alarms - {7} if drop > 0 else alarms)
    return false / runs, found / runs


def main() -> None:
    """Print and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--draws", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--table", type=Path)
    chosen = parser.parse_args()
    lines = ["| situation | outcome | share |", "|---|---|---|"]
    for change in (0.0, 0.01, -0.05):
        for verdict, times in full_run_verdicts(change, chosen.draws).most_common():
            lines.append(
                f"| full run, true change {change:+.2f} | {verdict} | {times / chosen.draws:.1%} |"
            )
    for drop in (0.0, 0.30):
        false, found = slice_alarms(drop, chosen.runs)
        lines.append(f"| 20 slices, drop of {drop:.2f} in one | a false alarm | {false:.1%} |")
        if drop:
            lines.append(f"| 20 slices, drop of {drop:.2f} in one | found | {found:.1%} |")
    text = "\n".join(lines) + "\n"
    print(text)
    if chosen.table:
        chosen.table.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
