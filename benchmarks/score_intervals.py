"""Does the interval beside a score hold the truth as often as it says? A simulation, kind by kind.

    python benchmarks/score_intervals.py --draws 1000 --table benchmarks/results/score_intervals.md

One run's score, not a difference (``stats_calibration.py`` has those): means, ratios of sums, a
corpus metric, perplexity, costs, and calibration errors. The bar is 95% +- 2 points for all but the
calibration errors, whose coverage is printed and which never gate.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from steelyard.harness.stats import score_interval
from steelyard.tasks.metrics.ratios import EntityPrecision

RESAMPLES = 1_000
Draw = Callable[[np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Cell:
    """Rows of one kind, drawn from a population whose score is ``truth``."""

    name: str
    kind: str
    truth: float
    draw: Draw
    method: str | None = None


def shares(rng: np.random.Generator) -> np.ndarray:
    """300 right or wrong answers, 70% right."""
    return (rng.random((300, 1)) < 0.7).astype(float)


def bounded(rng: np.random.Generator) -> np.ndarray:
    """200 graded scores, skewed, mean .25."""
    return rng.beta(0.5, 1.5, (200, 1))


def precision(rng: np.random.Generator) -> np.ndarray:
    """150 summaries of 0 to 5 names, each supported with a summary's own probability, mean .8."""
    stated = rng.integers(0, 6, 150)
    return np.column_stack([rng.binomial(stated, rng.beta(8, 2, 150)), stated]).astype(float)


def perplexity(rng: np.random.Generator) -> np.ndarray:
    """80 documents of 50 to 400 tokens at 3 nats a token, which vary from one to the next."""
    length = rng.integers(50, 401, 80)
    return np.column_stack([-length * rng.gamma(25, 3 / 25, 80), length])


def costs(rng: np.random.Generator) -> np.ndarray:
    """100 latencies, log-normal around one second."""
    return rng.lognormal(0, 0.5, (100, 1))


def calibrated(rng: np.random.Generator) -> np.ndarray:
    """500 answers as often right as their confidence says."""
    confidence = rng.beta(4, 2, 500)
    return np.column_stack([confidence, rng.random(500) < confidence]).astype(float)


def overconfident(rng: np.random.Generator) -> np.ndarray:
    """500 answers right .15 less often than they are sure."""
    confidence = rng.uniform(0.3, 1.0, 500)
    return np.column_stack([confidence, rng.random(500) < confidence - 0.15]).astype(float)


def risk_of(draw: Draw) -> float:
    """The AURC of a draw's population, from 400,000 of its rows."""
    from steelyard.harness.stats import calibration_error

    rng = np.random.default_rng(0)
    return calibration_error(np.vstack([draw(rng) for _ in range(800)]), "aurc")


def cells() -> tuple[Cell, ...]:
    """Every kind of score."""
    return (
        Cell("mean of 0/1, n = 300", "accuracy", 0.7, shares),
        Cell("mean of graded scores, n = 200", "bounded", 0.25, bounded),
        Cell("ratio of sums (entity precision), n = 150", "corpus", 0.8, precision),
        Cell("perplexity, 80 documents", "perplexity", float(np.exp(3)), perplexity),
        Cell("cost (geometric mean), n = 100", "ratio", 1.0, costs),
        Cell("ECE, calibrated, n = 500", "calibration", 0.0, calibrated, "ece"),
        Cell("ECE, overconfident by .15, n = 500", "calibration", 0.15, overconfident, "ece"),
        Cell("AURC, n = 500", "calibration", risk_of(calibrated), calibrated, "aurc"),
    )


def coverage(cell: Cell, draws: int, seed: int = 0) -> float:
    """Share of 95% intervals that hold the truth."""
    rng, hits = np.random.default_rng(seed), 0
    aggregate = EntityPrecision().aggregate_sums if cell.kind == "corpus" else None
    for number in range(draws):
        found = score_interval(
            cell.draw(rng),
            kind=cell.kind,
            aggregate=aggregate,
            method=cell.method,
            draws=RESAMPLES,
            seed=number,
        )
        assert found.low is not None and found.high is not None
        hits += found.low - 1e-12 <= cell.truth <= found.high + 1e-12
    return hits / draws


def main() -> None:
    """Print the table, and write it where ``--table`` says."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--only", default="", help="only cells whose name begins so")
    parser.add_argument("--table", type=Path)
    given = parser.parse_args()
    lines = [f"{given.draws} draws a row, 95% intervals.", "", "| score | covered |", "|---|---|"]
    for cell in cells():
        if cell.name.startswith(given.only):
            lines.append(f"| {cell.name} | {coverage(cell, given.draws):.1%} |")
            print(lines[-1], flush=True)
    if given.table is not None:
        given.table.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
