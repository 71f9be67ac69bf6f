"""How often a rule on forgetting is wrong at its bound, and what it finds beyond it.

    python benchmarks/forgetting.py [--draws 1000]

Which samples the baseline had right is drawn anew each time (six in ten), and so is which of those
are wrong now. Documents share a rate of forgetting drawn from a beta distribution with the
correlation named. Rates are over all draws; what was not decided is neither.
"""

from __future__ import annotations

import argparse

import numpy as np

from steelyard.harness.compare import Paired, Settings
from steelyard.harness.gate.forgetting import forgotten
from steelyard.harness.gate.hypotheses import Hypothesis
from steelyard.harness.gate.policy import Rule
from steelyard.harness.records import Score

#: Samples, bound, samples a document, correlation within a document.
CELLS = (
    (100, 0.05, 1, 0.0),
    (500, 0.02, 1, 0.0),
    (2000, 0.02, 1, 0.0),
    (2000, 0.10, 1, 0.0),
    (500, 0.05, 10, 0.2),
    (2000, 0.05, 10, 0.2),
    (2000, 0.10, 40, 0.1),
)
SCORE = Score(task="t", metric="acc", value=0.6, kind="accuracy", n=1, higher_is_better=True)


def rates(
    samples: int, bound: float, share: float, size: int, correlation: float, draws: int
) -> tuple[float, float]:
    """Shares of draws that pass and that fail, where ``share`` is truly forgotten."""
    rng = np.random.default_rng([samples, round(1e4 * share), size])
    hypothesis = Hypothesis(Rule(task="t", max_forgotten=bound), "t", "acc")
    ids = tuple(map(str, range(samples)))
    documents = tuple(str(i // size) for i in range(samples)) if size > 1 else None
    passed = failed = 0
    for _ in range(draws):
        chance = np.full(samples, share)
        if size > 1:
            scale = (1 - correlation) / correlation
            chance = rng.beta(share * scale, (1 - share) * scale, samples // size).repeat(size)
        before = (rng.random(samples) < 0.6).astype(float)
        after = before * (rng.random(samples) >= chance)
        paired = Paired(ids, before[:, None], after[:, None], documents, 0)
        count = forgotten(hypothesis, SCORE, paired, Settings(draws=1000))
        passed += count.passes(0.05)
        failed += count.fails(0.05)
    return passed / draws, failed / draws


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=1000)
    draws = parser.parse_args().draws
    print("# Rules on forgetting: wrong at the bound, and what they find\n")
    print(f"{draws:,} draws a cell, alpha .05 on each side, six in ten right in the baseline.")
    print("`python benchmarks/forgetting.py`\n")
    print("| samples | bound | a document | correlation | false PASS | false FAIL |", end=" ")
    print("PASS at a quarter | FAIL at twice |")
    print("|---|---|---|---|---|---|---|---|")
    for samples, bound, size, correlation in CELLS:
        at, below, above = (
            rates(samples, bound, bound * factor, size, correlation, draws)
            for factor in (1, 0.25, 2)
        )
        figures = (at[0], at[1], below[0], above[1])
        shown = " | ".join(f"{figure:.3f}" for figure in figures)
        print(f"| {samples} | {bound:g} | {size} | {correlation:g} | {shown} |", flush=True)


if __name__ == "__main__":
    main()
