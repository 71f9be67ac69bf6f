"""Small copies of benchmarks/stats_calibration.py and stats_economy.py: error rates and economy."""

from __future__ import annotations

import numpy as np
import pytest

from tests.benchmark_modules import load

calibration = load("stats_calibration")
economy = load("stats_economy")


def allowed(draws: int) -> float:
    """alpha + 1 point, and three standard errors of the simulation."""
    return 0.06 + 3 * float(np.sqrt(0.05 * 0.95 / draws))


@pytest.mark.parametrize(
    ("kind", "draw", "change", "draws"),
    [
        ("accuracy", calibration.shares(300, 0.06, -0.02), -0.02, 1500),
        ("accuracy", calibration.clustered_shares(60, 5, 0.12, -0.02), -0.02, 300),
        ("bounded", calibration.bounded(100, -0.02), -0.02, 400),
        ("perplexity", calibration.documents(60, -0.02), -0.02, 400),
        ("ratio", calibration.costs(100, -0.1), -0.1, 400),
    ],
    ids=["0/1", "0/1 clustered", "bounded", "perplexity", "ratio"],
)
def test_fixed_tests_keep_their_error_rates_and_coverage(
    kind: str, draw: object, change: float, draws: int
) -> None:
    cell = calibration.Cell(kind, kind, change, draw, {})
    rates = calibration.run_fixed(cell, draws, resamples=500, seed=1)
    assert rates.false_pass <= allowed(draws)
    assert rates.false_fail <= allowed(draws)
    assert rates.covered >= 0.935 - 3 * np.sqrt(0.05 * 0.95 / draws)


@pytest.mark.parametrize(
    ("claim", "draw"),
    [
        ("benchmark", calibration.fixed_population(500, 0.12, -0.02)),
        ("benchmark", calibration.fixed_clusters(100, -0.02)),
        ("population", calibration.independent(500, 0.12, -0.02)),
    ],
    ids=["benchmark", "benchmark clustered", "population"],
)
def test_sequential_tests_keep_their_error_rates_under_both_claims(
    claim: str, draw: object
) -> None:
    cell = calibration.SequentialCell(claim, claim, 0.02, draw)
    rates = calibration.run_sequential(cell, 800, seed=1, intervals=20)
    assert rates.false_pass <= allowed(800)
    assert rates.false_fail <= allowed(800)
    assert rates.covered >= 0.6


def test_watching_equal_models_for_ten_thousand_items_keeps_alpha() -> None:
    draw = calibration.fixed_population(10_000, 0.1, 0.0)
    cell = calibration.SequentialCell("watch", "benchmark", 0.0, draw)
    rates = calibration.run_sequential(cell, 150, seed=1, intervals=0)
    assert rates.false_fail <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 150)


@pytest.mark.parametrize("change", [0.0, 0.01, -0.03, -0.05])
def test_early_decisions_are_no_dearer_than_the_trial(change: float) -> None:
    for discordance in (0.06, 0.12):
        one = economy.economy(1319, discordance, change, 150, seed=1)
        assert one.median <= economy.TRIAL[change, 1319, discordance] + 0.03
        assert one.wrong <= 0.04
