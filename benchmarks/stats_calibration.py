"""Do the tests keep their promised error rates? A simulation at the margin, cell by cell.

    python benchmarks/stats_calibration.py --table benchmarks/results/stats_calibration.md

Every cell draws data whose true change lies exactly at the margin, where a wrong PASS and a wrong
FAIL are both as likely as they get: each must stay within alpha (5%) + 1 point. What is simulated
is the whole decision, ``paired_test`` as users call it, choice of test included. ``covered`` is the
share of 95% intervals that hold the truth (fixed n) and of any-time 90% intervals (sequential);
``too few`` the share of draws left open because no rows of that number could pass; rates are over
all draws. The last table holds the power beside Student's t on rows on which t is valid, and the
least that any test costs there which would stay valid if a share of the rows lost everything.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import special

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks import stats_hard_cells as hard
from benchmarks.stats_hard_cells import Arrays, Cell
from steelyard.harness.stats import (
    PairedResult,
    SequentialTest,
    calibration_error,
    paired_test,
)
from steelyard.harness.stats.rows import sum_clusters

ALPHA = 0.05
RESAMPLES = 1_000
#: Where the resamples only make the p-value, which no rate here reads.
FEW_RESAMPLES = 100
#: For the margin at which t has its power: an error of 1% in it is one of 2% in the items.
MARGIN_DRAWS = 20_000


@dataclass(frozen=True)
class Rates:
    """What came out of a cell, as shares of its draws."""

    name: str
    draws: int
    false_pass: float
    false_fail: float
    covered: float | None
    seconds: float
    too_few: float = 0.0
    undecided: float | None = None


# --- rows with a known change -----------------------------------------------------------------


def shares(n: int, discordance: float, change: float) -> Callable[[np.random.Generator], Arrays]:
    """0/1 rows, independent."""
    lost, gained = (discordance - change) / 2, (discordance + change) / 2

    def draw(rng: np.random.Generator) -> Arrays:
        u = rng.random(n)
        before = np.where(u < lost, 1.0, np.where(u < lost + gained, 0.0, rng.random(n) < 0.6))
        after = np.where(u < lost, 0.0, np.where(u < lost + gained, 1.0, before))
        return before[:, None], after[:, None], None

    return draw


def clustered_shares(
    groups: int, largest: int, discordance: float, change: float
) -> Callable[[np.random.Generator], Arrays]:
    """0/1 rows in clusters of 1..largest samples that mostly change together."""
    lost, gained = (discordance - change) / 2, (discordance + change) / 2

    def draw(rng: np.random.Generator) -> Arrays:
        sizes = rng.integers(1, largest + 1, groups)
        codes = np.repeat(np.arange(groups), sizes)
        n = len(codes)
        u = np.where(rng.random(n) < 0.5, rng.random(groups)[codes], rng.random(n))
        before = np.where(u < lost, 1.0, np.where(u < lost + gained, 0.0, 1.0))
        after = np.where(u < lost, 0.0, 1.0)
        return before[:, None], after[:, None], codes

    return draw


def bounded(n: int, change: float, largest: int = 1) -> Callable[[np.random.Generator], Arrays]:
    """Scores in 0..1: a third unchanged, the others moved by a skewed amount; maybe clustered."""

    def draw(rng: np.random.Generator) -> Arrays:
        codes = np.repeat(np.arange(n), rng.integers(1, largest + 1, n))
        rows = len(codes)
        before = 0.3 + 0.4 * rng.random(rows)
        shared = rng.beta(1.0, 4.0, n)[codes]
        moved = rng.random(rows) < 0.7
        amount = np.where(rng.random(rows) < 0.5, shared, rng.beta(1.0, 4.0, rows)) - 0.2
        after = before + np.where(moved, amount, 0.0) * 0.5 + change
        return before[:, None], after[:, None], codes if largest > 1 else None

    return draw


def documents(n: int, change: float) -> Callable[[np.random.Generator], Arrays]:
    """(log-likelihood, tokens) of documents of very different lengths."""

    def draw(rng: np.random.Generator) -> Arrays:
        length = np.ceil(np.exp(rng.normal(5, 0.8, n)))
        level = rng.normal(-3, 0.4, n)
        gain = change + rng.normal(0, 0.05, n) + rng.normal(0, 1, n) / np.sqrt(length)
        old = np.column_stack([length * level, length])
        new = np.column_stack([length * (level + gain), length])
        return old, new, None

    return draw


def bleu(sums: np.ndarray) -> np.ndarray:
    """BLEU of summed (system length, reference length, 4 matches, 4 totals), vectorised."""
    precision = np.exp(np.log(sums[..., 2:6] / sums[..., 6:10]).mean(axis=-1))
    brevity = np.exp(np.minimum(0.0, 1 - sums[..., 1] / sums[..., 0]))
    return np.asarray(100 * precision * brevity)


def translations(n: int) -> Callable[[np.random.Generator], Arrays]:
    """BLEU statistics of sentences of shared difficulty; the candidate matches a little less."""

    def system(rng: np.random.Generator, length: np.ndarray, ease: np.ndarray) -> np.ndarray:
        own = np.maximum(5, length + rng.integers(-2, 3, len(length)))
        totals = np.stack([own - order for order in range(4)], axis=1)
        chance = 1 / (1 + np.exp(-ease))
        matches = [
            rng.binomial(totals[:, order], chance ** (1 + 0.6 * order)) for order in range(4)
        ]
        return np.column_stack([own, length, np.stack(matches, axis=1), totals]).astype(float)

    def draw(rng: np.random.Generator) -> Arrays:
        length = rng.integers(8, 40, n)
        ease = rng.normal(0.4, 0.6, n)
        old = system(rng, length, ease)
        return old, system(rng, length, ease - 0.05 + rng.normal(0, 0.2, n)), None

    return draw


def costs(n: int, change: float) -> Callable[[np.random.Generator], Arrays]:
    """Seconds per request; ``change`` is minus the mean log-ratio (positive is faster)."""

    def draw(rng: np.random.Generator) -> Arrays:
        before = np.exp(rng.normal(0, 0.7, n))
        noise = rng.exponential(0.15, n) - 0.15
        return before[:, None], (before * np.exp(noise - change))[:, None], None

    return draw


def confidences(n: int, sharpness: float) -> Callable[[np.random.Generator], Arrays]:
    """(confidence, correct) of two runs; the candidate is overconfident."""

    def draw(rng: np.random.Generator) -> Arrays:
        logit = rng.normal(0.8, 1.2, n)
        true = 1 / (1 + np.exp(-logit))
        right = (rng.random(n) < true).astype(float)
        says = 1 / (1 + np.exp(-sharpness * logit))
        return np.column_stack([true, right]), np.column_stack([says, right]), None

    return draw


def true_bleu_change() -> float:
    """The change between the two simulated systems, on two million sentences."""
    rng = np.random.default_rng(123)
    draw = translations(200_000)
    sums = np.zeros((2, 10))
    for _ in range(10):
        old, new, _ = draw(rng)
        sums += np.stack([old.sum(axis=0), new.sum(axis=0)])
    return float(bleu(sums[1]) - bleu(sums[0]))


def true_calibration_change(method: str) -> float:
    """The population error of the calibrated run less the overconfident one's."""
    old, new, _ = confidences(1_000_000, 2.0)(np.random.default_rng(321))
    return calibration_error(old, method) - calibration_error(new, method)


# --- fixed n -----------------------------------------------------------------------------------


def fixed_cells() -> list[Cell]:
    """Every kind of rows, small and large, alone and clustered."""
    cells = [
        Cell(f"0/1 n={n} discordance={d}", "accuracy", -0.02, shares(n, d, -0.02), {})
        for n in (100, 300, 1319)
        for d in (0.03, 0.06, 0.12)
    ]
    cells += [
        Cell(
            f"0/1 clustered, {g} x 1..{k}",
            "accuracy",
            -0.02,
            clustered_shares(g, k, 0.12, -0.02),
            {},
        )
        for g, k in ((50, 5), (100, 9), (400, 5))
    ]
    cells += [
        Cell(f"bounded n={n}", "bounded", -0.02, bounded(n, -0.02), {}) for n in (50, 200, 1000)
    ]
    cells += [Cell("bounded clustered, 60 x 1..9", "bounded", -0.02, bounded(60, -0.02, 9), {})]
    cells += [
        Cell(f"perplexity, {n} documents", "perplexity", -0.02, documents(n, -0.02), {})
        for n in (60, 300)
    ]
    cells += [Cell(f"ratio n={n}", "ratio", -0.1, costs(n, -0.1), {}) for n in (50, 200)]
    change = true_bleu_change()
    cells += [
        Cell(
            f"corpus (BLEU), {n} sentences", "corpus", change, translations(n), {"aggregate": bleu}
        )
        for n in (200, 500)
    ]
    for method in ("ece", "aurc"):
        change = true_calibration_change(method)
        cells.append(
            Cell(
                f"{method} n=500",
                "calibration",
                change,
                confidences(500, 2.0),
                {"method": method},
                thinned=10,
            )
        )
    return cells


def run_fixed(cell: Cell, draws: int, resamples: int = RESAMPLES, seed: int = 0) -> Rates:
    """Verdicts and coverage of one cell; resampling seeds change ten times on the way."""
    rng = np.random.default_rng([seed, *cell.name.encode()])
    start = time.perf_counter()
    draws //= cell.thinned
    passed = failed = covered = too_few = 0
    if cell.kind in ("bounded", "perplexity", "ratio", "accuracy"):
        resamples = FEW_RESAMPLES
    known: dict[tuple[int, int], PairedResult] = {}
    for index in range(draws):
        before, after, clusters = cell.draw(rng)
        # Independent 0/1 rows matter by their flip counts alone, and these repeat.
        key = (int((before > after).sum()), int((before < after).sum()))
        result = known.get(key) if cell.kind == "accuracy" and clusters is None else None
        if result is None:
            result = known[key] = paired_test(
                before,
                after,
                kind=cell.kind,
                clusters=clusters,
                margin=-cell.truth,
                alpha=ALPHA,
                draws=resamples,
                seed=index * 10 // draws,
                **cell.options,
            )
        passed += result.verdict in ("better", "not_worse")
        failed += result.verdict == "worse"
        too_few += result.needed is not None
        if result.low is None or result.high is None:
            covered += 1  # no interval claims nothing
        else:
            covered += result.low <= cell.truth <= result.high
    seconds = time.perf_counter() - start
    return Rates(
        cell.name,
        draws,
        passed / draws,
        failed / draws,
        covered / draws,
        seconds,
        too_few / draws,
        (draws - passed - failed) / draws,
    )


# --- sequential --------------------------------------------------------------------------------


@dataclass(frozen=True)
class SequentialCell:
    """Differences at the margin, drawn from the claim under test."""

    name: str
    claim: str
    margin: float
    draw: Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray | None]]


def fixed_population(
    n: int, discordance: float, change: float
) -> Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray | None]]:
    """n differences of 0/1 scores whose mean is exactly ``change``, in random order."""
    changed, net = round(discordance * n), round(change * n)
    gained = (changed + net) // 2
    values = np.zeros(n)
    values[:gained], values[gained : 2 * gained - net] = 1.0, -1.0
    assert values.sum() == net
    return lambda rng: (rng.permutation(values), None)


def fixed_scores(n: int, change: float) -> Callable[..., tuple[np.ndarray, np.ndarray | None]]:
    """n graded differences whose mean is exactly ``change``, in random order."""
    before, after, _ = bounded(n, 0.0)(np.random.default_rng(9))
    values = (after - before)[:, 0]
    values += change - values.mean()
    return lambda rng: (rng.permutation(values), None)


def fixed_clusters(
    groups: int, change: float
) -> Callable[..., tuple[np.ndarray, np.ndarray | None]]:
    """Clusters of 1..9 graded differences, their item mean exactly ``change``, in random order."""
    before, after, codes = bounded(groups, 0.0, 9)(np.random.default_rng(10))
    values = (after - before)[:, 0]
    values += change - values.mean()
    assert codes is not None
    sums, sizes = sum_clusters(values[:, None], codes)[:, 0], np.bincount(codes)

    def draw(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray | None]:
        order = rng.permutation(len(sums))
        return sums[order], sizes[order]

    return draw


def independent(
    n: int, discordance: float, change: float
) -> Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray | None]]:
    """n independent differences of 0/1 scores."""
    chances = [(discordance - change) / 2, 1 - discordance, (discordance + change) / 2]
    return lambda rng: (rng.choice([-1.0, 0.0, 1.0], n, p=chances), None)


def sequential_cells() -> list[SequentialCell]:
    """Both claims, 0/1, graded and clustered rows, and watching equal models for 10,000 items."""
    cells = [
        SequentialCell(
            f"sequential benchmark, 0/1 N={n} discordance={d}",
            "benchmark",
            0.02,
            fixed_population(n, d, -0.02),
        )
        for n, d in ((500, 0.06), (500, 0.12), (1300, 0.06), (1300, 0.12), (3000, 0.06))
    ]
    cells += [
        SequentialCell(
            "sequential benchmark, bounded N=1000", "benchmark", 0.02, fixed_scores(1000, -0.02)
        ),
        SequentialCell(
            "sequential benchmark, 300 clusters", "benchmark", 0.02, fixed_clusters(300, -0.02)
        ),
    ]
    cells += [
        SequentialCell(
            f"sequential population, 0/1 N={n} discordance={d}",
            "population",
            0.02,
            independent(n, d, -0.02),
        )
        for n, d in ((500, 0.06), (1319, 0.06), (1319, 0.12))
    ]
    watch = "watching equal models, 10,000 items, margin 0, "
    cells += [
        SequentialCell(watch + "benchmark", "benchmark", 0.0, fixed_population(10_000, 0.1, 0.0)),
        SequentialCell(watch + "population", "population", 0.0, independent(10_000, 0.1, 0.0)),
    ]
    return cells


def run_sequential(cell: SequentialCell, draws: int, seed: int = 0, intervals: int = 300) -> Rates:
    """Verdicts of one cell; coverage of the interval at the stop on the first ``intervals``."""
    rng = np.random.default_rng([seed, *cell.name.encode()])
    start = time.perf_counter()
    passed = failed = covered = 0
    for index in range(draws):
        sums, sizes = cell.draw(rng)
        test = SequentialTest(
            len(sums) if sizes is None else int(sizes.sum()),
            margin=cell.margin,
            alpha=ALPHA,
            claim=cell.claim,  # type: ignore[arg-type]
            clusters=None if sizes is None else len(sums),
            largest=1 if sizes is None else int(sizes.max()),
        )
        verdict = test.update(sums, sizes)
        passed += verdict == "pass"
        failed += verdict == "fail"
        if index < intervals:
            low, high = test.interval()
            covered += low - 1e-6 <= -cell.margin <= high + 1e-6
    share = covered / min(draws, intervals) if intervals else None
    seconds = time.perf_counter() - start
    return Rates(cell.name, draws, passed / draws, failed / draws, share, seconds)


# --- power -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Power:
    """How many more items than Student's t a test takes for 80% power to pass equal models."""

    name: str
    margin: float
    student: float
    ours: float
    more_items: float
    least: float | None
    """The same of the best test that is valid whatever share of the rows may lose everything."""


@dataclass(frozen=True)
class PowerCell:
    """Equal models whose changes t suits; ``spread`` is their standard deviation, of a range 1."""

    name: str
    kind: str
    n: int
    sampler: Callable[[int], hard.Draw]
    spread: float | None = None


def power_cells() -> list[PowerCell]:
    """0/1 and graded rows, few and many."""
    cells = []
    for n in (200, 2000):
        flips = PowerCell(
            f"0/1, discordance .1, n={n}", "accuracy", n, lambda k: hard.flips(k, 0.05, 0.05).draw
        )
        cells += [flips]
        cells += [
            PowerCell(
                f"graded, spread {spread:g}, n={n}",
                "bounded",
                n,
                lambda k, spread=spread: hard.graded(k, spread, 0.0).draw,
                spread,
            )
            for spread in ((0.3, 0.2, 0.1, 0.07, 0.05) if n == 200 else (0.3, 0.2, 0.1, 0.05))
        ]
    return cells


def least_items(spread: float, margin: float, n: int) -> float:
    """How many more items than n the best test takes that errs in at most ALPHA of all samples.

    Neyman and Pearson's lemma: full losses at r in n items, of which none was drawn (a chance of
    exp(-r)), leave rows whose mean is r / n above the margin, so a valid test may pass these in
    ALPHA exp(r); for every r that limits its power for rows without a loss.
    """
    rates = np.linspace(0, -np.log(ALPHA), 4000, endpoint=False)
    quantiles = special.ndtri(0.8) - special.ndtri(ALPHA * np.exp(rates))
    sizes = n * np.exp(np.linspace(0, 3, 3001))
    roots = np.sqrt(sizes)
    asked = [float((quantiles + rates / (spread * root)).max()) for root in roots]
    return float(sizes[np.argmax(margin * roots / spread >= asked)] / n - 1)


def run_power(cell: PowerCell, draws: int) -> Power:
    """At the margin at which t has 80% power with n items: t's power, ours, and items for ours."""
    name, kind, n, sampler = cell.name, cell.kind, cell.n, cell.sampler
    rng = np.random.default_rng([5, *name.encode()])
    lower = []
    for _ in range(MARGIN_DRAWS):
        before, after, _ = sampler(n)(rng)
        change = (after - before)[:, 0]
        error = change.std(ddof=1) / np.sqrt(n)
        lower.append(float(change.mean() - special.stdtrit(n - 1, 1 - ALPHA) * error))
    margin = -float(np.quantile(lower, 0.2))
    least = None if cell.spread is None else least_items(cell.spread, margin, n)
    sizes, powers = (1 + (least or 0.0)) * np.array([1.0, 1.15, 1.3]), []
    for factor in sizes:
        items = round(n * factor)
        passed = 0
        for _ in range(draws):
            before, after, _ = sampler(items)(rng)
            result = paired_test(before, after, kind=kind, margin=margin, draws=FEW_RESAMPLES)
            passed += result.verdict in ("better", "not_worse")
        powers.append(passed / draws)
    # The probit of the power is linear in the root of the items.
    slope, level = np.polyfit(np.sqrt(sizes), special.ndtri(np.clip(powers, 1e-3, 1 - 1e-3)), 1)
    factor = ((special.ndtri(0.8) - level) / slope) ** 2
    at_n = float(special.ndtr(slope + level))
    return Power(name, margin, 0.8, at_n, float(factor - 1), least)


# --- the table ---------------------------------------------------------------------------------


def table(rates: list[Rates]) -> str:
    """A Markdown table of all cells."""
    lines = [
        "| cell | draws | false PASS | false FAIL | covered | undecided | too few | seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in rates:
        covered, undecided = (
            "" if share is None else f"{share:.1%}" for share in (one.covered, one.undecided)
        )
        lines.append(
            f"| {one.name} | {one.draws} | {one.false_pass:.2%} | {one.false_fail:.2%} "
            f"| {covered} | {undecided} | {one.too_few:.0%} | {one.seconds:.0f} |"
        )
    return "\n".join(lines) + "\n"


def power_table(powers: list[Power]) -> str:
    """A Markdown table of power beside Student's t."""
    lines = [
        "| rows | margin | power of t | power | more items for 80% | least for any valid test |",
        "|---|---|---|---|---|---|",
    ]
    for one in powers:
        least = "" if one.least is None else f"{one.least:+.1%}"
        lines.append(
            f"| {one.name} | {one.margin:.4f} | {one.student:.0%} | {one.ours:.1%} "
            f"| {one.more_items:+.1%} | {least} |"
        )
    return "\n".join(lines) + "\n"


PARTS = ("hard", "power", "fixed", "sequential")


def main() -> None:
    """Run the cells and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--draws", type=int, default=10_000)
    parser.add_argument(
        "--only", nargs="*", default=[""], help="cells whose name holds one of these"
    )
    parser.add_argument("--part", nargs="*", choices=PARTS, default=list(PARTS))
    parser.add_argument("--table", type=Path)
    chosen = parser.parse_args()
    rates: list[Rates] = []
    powers: list[Power] = []

    def asked(name: str) -> bool:
        return any(part in name for part in chosen.only)

    def write() -> None:
        """After each cell, so that a run that is stopped leaves the cells that it has."""
        if chosen.table:
            text = table(rates) + ("\n" + power_table(powers) if powers else "")
            chosen.table.write_text(text, encoding="utf-8")

    fixed = hard.broken_cells() + hard.own_cells() if "hard" in chosen.part else []
    fixed += fixed_cells() if "fixed" in chosen.part else []
    for cell in fixed:
        if asked(cell.name):
            rates.append(run_fixed(cell, chosen.draws))
            print(table(rates[-1:]).splitlines()[-1], flush=True)
            write()
    for power_cell in power_cells() if "power" in chosen.part else []:
        if asked(power_cell.name):
            powers.append(run_power(power_cell, chosen.draws // 2))
            print(power_table(powers[-1:]).splitlines()[-1], flush=True)
            write()
    for sequential in sequential_cells() if "sequential" in chosen.part else []:
        if asked(sequential.name):
            rates.append(run_sequential(sequential, chosen.draws))
            print(table(rates[-1:]).splitlines()[-1], flush=True)
            write()


if __name__ == "__main__":
    main()
