"""The interval of a weighted sum, against published numbers and by how often it covers."""

from __future__ import annotations

import numpy as np
import pytest

from steelyard.harness.errors import StatisticsError
from steelyard.harness.stats import (
    ScoreInterval,
    combined_interval,
    combined_shares,
    share_interval,
)


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
    parts = [wilson(12, 12), wilson(0, 4)]
    combined = combined_shares(parts, [12, 4], [12 / 16, 4 / 16])
    # By hand: the parts' shares with two samples of .75 more are 13.5/14 and 1.5/6.
    variance = 0.75**2 / 12 * (13.5 / 14) * (0.5 / 14) * 14 / 13
    variance += 0.25**2 / 4 * 0.25 * 0.75 * 6 / 5
    n, z = 0.75 * 0.25 / variance, 1.959964
    centre = (n * 0.75 + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * (n * 0.1875 + z * z / 4) ** 0.5
    assert combined.value == 0.75
    assert combined.low == pytest.approx(centre - half, abs=1e-6)
    assert combined.high == pytest.approx(centre + half, abs=1e-6)


def test_one_part_has_its_own_interval_all_but_the_prior() -> None:
    one = combined_shares([wilson(30, 40)], [40], [1.0])
    assert one.low == pytest.approx(wilson(30, 40).low or 0, abs=0.004)
    assert combined_shares([wilson(40, 40)], [40], [1.0]) == pytest.approx(wilson(40, 40))


def test_a_part_of_few_clusters_counts_as_few_samples() -> None:
    alone, clustered = wilson(30, 60), wilson(10, 20)
    wide = combined_shares([clustered, wilson(30, 60)], [60, 60], [0.5, 0.5])
    narrow = combined_shares([alone, wilson(30, 60)], [60, 60], [0.5, 0.5])
    expected = combined_shares([clustered, wilson(30, 60)], [20, 60], [0.5, 0.5])
    assert wide.low == pytest.approx(expected.low)
    assert (wide.low or 0) < (narrow.low or 0)


@pytest.mark.parametrize("alike", [False, True])
@pytest.mark.parametrize("sizes", [(20, 40, 200), (10,) * 20, (250,) * 12, (4,) * 57, (3, 9) * 5])
def test_it_covers_the_group_s_true_score_as_often_as_it_says(
    sizes: tuple[int, ...], alike: bool
) -> None:
    rng = np.random.default_rng(7)
    truth = rng.uniform(0.15, 0.95, len(sizes))
    weights = [1 / len(sizes) if alike else size / sum(sizes) for size in sizes]
    true_score = float(np.dot(weights, truth))
    trials, below, above = 400, 0, 0
    for _ in range(trials):
        parts = [wilson(int(rng.binomial(n, p)), n) for n, p in zip(sizes, truth, strict=True)]
        combined = combined_shares(parts, sizes, weights)
        assert combined.low is not None and combined.high is not None
        below, above = below + (true_score < combined.low), above + (true_score > combined.high)
    # 2.5% on either side, and three standard errors of 400 trials.
    most = 0.025 + 3 * (0.025 * 0.975 / trials) ** 0.5
    assert below / trials <= most
    assert above / trials <= most


def test_a_part_without_an_interval_leaves_the_sum_without_one() -> None:
    combined = combined_interval([wilson(3, 4), ScoreInterval(0.5, None, None)], [0.5, 0.5])
    assert combined == ScoreInterval(0.625, None, None)


def test_weights_that_are_not_one_for_each_part_are_refused() -> None:
    with pytest.raises(StatisticsError, match="2 scores and 1 weights"):
        combined_interval([wilson(3, 4), wilson(1, 4)], [1.0])
