"""How often a recipe's interval covers: seeds crossed with items, claim by claim.

    python benchmarks/seeds_cover.py [--draws 10000] [--items 200]

Changes are drawn as ``seed + item + rest``; the share is that of the items in the variance of one
seed's mean (1: every seed is one model), the other part is seven parts seed and three parts rest. A
claim covers where its interval holds what it is about: the recipe on items like these 0, the recipe
on these items the items' own mean, these checkpoints the seeds' own mean. The widths are means.
"""

from __future__ import annotations

import argparse
import math

import numpy as np

from steelyard.harness.stats import crossed_effect

SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
SEEDS = (2, 3, 4, 5, 7, 10)
CLAIMS = ("the recipe, items like these", "the recipe, these items", "these checkpoints")


def cover(seeds: int, share: float, draws: int, items: int) -> tuple[list[float], list[float]]:
    """Cover and mean width of the three claims."""
    rng = np.random.default_rng([seeds, round(100 * share)])
    inside, widths = np.zeros(3), np.zeros(3)
    for _ in range(draws):
        seed = rng.normal(0, math.sqrt(0.7 * (1 - share)), (seeds, 1))
        item = rng.normal(0, math.sqrt(share * items), (1, items))
        rest = rng.normal(0, math.sqrt(0.3 * (1 - share) * items), (seeds, items))
        effect = crossed_effect(seed + item + rest)
        truths = (0.0, float(item.mean()), float(seed.mean()))
        for i, (ends, truth) in enumerate(
            zip(
                (effect.of_recipe(), effect.of_recipe_here(), effect.of_checkpoints()),
                truths,
                strict=True,
            )
        ):
            if ends is not None:
                slack = 1e-9  # identical seeds have an interval without width about their truth
                inside[i] += ends[0] - slack <= truth <= ends[1] + slack
                widths[i] += ends[1] - ends[0]
    return list(inside / draws), list(widths / draws)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=10_000)
    parser.add_argument("--items", type=int, default=200)
    options = parser.parse_args()
    print("# Seeds crossed with items: cover of the 95% interval, and its width\n")
    print(f"{options.draws:,} draws a cell, {options.items} items; one mean has error 1.")
    print("`python benchmarks/seeds_cover.py`\n")
    for i, claim in enumerate(CLAIMS):
        print(f"## {claim[0].upper()}{claim[1:]}\n")
        print("| seeds | " + " | ".join(f"items' share {share:g}" for share in SHARES) + " |")
        print("|---" * (len(SHARES) + 1) + "|")
        for seeds in SEEDS:
            cells = []
            for share in SHARES:
                covers, widths = _cell(seeds, share, options.draws, options.items)
                cells.append(f"{covers[i]:.3f} ({widths[i]:.2f})")
            print(f"| {seeds} | " + " | ".join(cells) + " |", flush=True)
        print()


_cells: dict[tuple[int, float], tuple[list[float], list[float]]] = {}


def _cell(seeds: int, share: float, draws: int, items: int) -> tuple[list[float], list[float]]:
    if (seeds, share) not in _cells:
        _cells[seeds, share] = cover(seeds, share, draws, items)
    return _cells[seeds, share]


if __name__ == "__main__":
    main()
