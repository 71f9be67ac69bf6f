"""The interval of a weighted sum, against published numbers and by how often it covers."""

from __future__ import annotations

import numpy as np
import pytest

from steelyard.harness.errors import StatisticsError
from steelyard.harness.stats import ScoreInterval, combined_interval, share_interval


def wilson(right: int, n: int) -> ScoreInterval:
    rows = np.array([1.0] * right + [0.0] * (n - right))
    return ScoreInterval(right / n, *share_interval(rows, None, 0.95))


@pytest.mark.parametrize(
    ("first", "second", "low", "high"),
    [
        # Newcombe 1998, Statistics in Medicine 17:873-890, table II, method 10.
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
    ],
)
def test_a_difference_of_two_shares_has_newcombe_s_interval(
    first: tuple[int, int], second: tuple[int, int], low: float, high: float
) -> None:
    combined = combined_interval([wilson(*first), wilson(*second)], [1.0, -1.0])
    assert combined.low == pytest.approx(low, abs=5e-5)
    assert combined.high == pytest.approx(high, abs=5e-5)


def test_strata_that_never_vary_still_leave_the_interval_open() -> None:
    """12 of 12 and 0 of 4: a pooled standard error, as lm-eval's, is 0."""
    combined = combined_interval([wilson(12, 12), wilson(0, 4)], [12 / 16, 4 / 16])
    assert combined.value == 0.75
    # By hand from the Wilson limits 12/15.8415 and 3.8415/7.8415.
    assert combined.low == pytest.approx(0.75 - 0.75 * (1 - 12 / 15.8415), abs=1e-4)
    assert combined.high == pytest.approx(0.75 + 0.25 * 3.8415 / 7.8415, abs=1e-4)


@pytest.mark.parametrize("sizes", [(20, 40, 200), (10,) * 20, (250,) * 12])
def test_it_covers_the_group_s_true_score_as_often_as_it_says(sizes: tuple[int, ...]) -> None:
    rng = np.random.default_rng(7)
    truth = rng.uniform(0.25, 0.95, len(sizes))
    weights = [size / sum(sizes) for size in sizes]
    true_score = float(np.dot(weights, truth))
    trials, hits = 400, 0
    for _ in range(trials):
        parts = [wilson(int(rng.binomial(n, p)), n) for n, p in zip(sizes, truth, strict=True)]
        combined = combined_interval(parts, weights)
        assert combined.low is not None and combined.high is not None
        hits += combined.low <= true_score <= combined.high
    # 0.95 less three standard errors of 400 trials.
    assert hits / trials >= 0.95 - 3 * (0.95 * 0.05 / trials) ** 0.5


def test_a_part_without_an_interval_leaves_the_sum_without_one() -> None:
    combined = combined_interval([wilson(3, 4), ScoreInterval(0.5, None, None)], [0.5, 0.5])
    assert combined == ScoreInterval(0.625, None, None)


def test_weights_that_are_not_one_for_each_part_are_refused() -> None:
    with pytest.raises(StatisticsError, match="2 scores and 1 weights"):
        combined_interval([wilson(3, 4), wilson(1, 4)], [1.0])
