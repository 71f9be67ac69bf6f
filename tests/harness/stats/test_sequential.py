"""The sequential test: never decides against the count, chunks do not matter, it saves items."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.harness.errors import StatisticsError
from steelyard.harness.stats import SequentialTest, clip_differences, sequential_test


def differences(n: int, lost: int, gained: int, seed: int = 0) -> np.ndarray:
    values = np.zeros(n)
    values[:lost], values[lost : lost + gained] = -1, 1
    return np.random.default_rng(seed).permutation(values)


def test_equal_models_pass_early_and_a_drop_fails_early() -> None:
    equal = sequential_test(differences(10_000, 300, 300), margin=0.02, alpha=0.05)
    worse = sequential_test(differences(10_000, 600, 100), margin=0.02, alpha=0.05)
    assert equal.verdict == "pass" and equal.used < 3000
    assert worse.verdict == "fail" and worse.used < 2000


def test_the_verdict_does_not_depend_on_how_the_items_are_cut_into_chunks() -> None:
    values = differences(2000, 90, 80)
    whole = sequential_test(values, margin=0.02, alpha=0.05)
    for size in (1, 7, 333):
        test = SequentialTest(2000, margin=0.02, alpha=0.05)
        for start in range(0, 2000, size):
            if test.update(values[start : start + size]) != "inconclusive":
                break
        assert (test.verdict, test.used) == (whole.verdict, whole.used)
        assert test.interval() == pytest.approx(whole.interval, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 60),
    margin=st.sampled_from([0.0, 0.05, 0.1, 0.25]),
    data=st.data(),
)
def test_a_full_pass_ends_by_counting(n: int, margin: float, data: st.DataObject) -> None:
    values = np.array(data.draw(st.lists(st.sampled_from([-1, 0, 1]), min_size=n, max_size=n)))
    test = SequentialTest(n, margin=margin, alpha=1e-9)
    test.update(values)
    excess = values.sum() + margin * n
    expected = "pass" if excess > 1e-9 * n else "fail" if excess < -1e-9 * n else "inconclusive"
    assert test.verdict == expected
    low, high = test.interval()
    assert low - 1e-6 <= values.mean() <= high + 1e-6


def test_equality_with_the_margin_stays_inconclusive_to_the_end() -> None:
    result = sequential_test(differences(500, 20, 10, seed=1), margin=0.02, alpha=0.0001)
    assert (result.verdict, result.used) == ("inconclusive", 500)
    assert result.interval == pytest.approx((-0.02, -0.02), abs=1e-6)


def test_the_interval_stands_on_the_side_of_the_verdict() -> None:
    passed = sequential_test(differences(3000, 100, 100), margin=0.02, alpha=0.05)
    failed = sequential_test(differences(3000, 250, 50), margin=0.02, alpha=0.05)
    assert -0.02 <= passed.interval[0] <= 0 <= passed.interval[1]
    assert failed.interval[1] <= -0.02


def test_a_population_claim_never_ends_by_counting() -> None:
    values = differences(400, 20, 16)
    benchmark = sequential_test(values, margin=0.02, alpha=0.05)
    population = sequential_test(values, margin=0.02, alpha=0.05, claim="population")
    assert benchmark.verdict == "pass"
    assert (population.verdict, population.used) == ("inconclusive", 400)
    assert population.interval[0] < -0.02


def test_clusters_are_drawn_whole() -> None:
    values = differences(1200, 12, 12)
    codes = np.repeat(np.arange(400), 3)
    result = sequential_test(values, margin=0.02, alpha=0.05, clusters=codes)
    assert result.verdict == "pass"
    assert result.used % 3 == 0 and result.used < 1200


def test_a_decided_test_stays_decided() -> None:
    test = SequentialTest(10_000, margin=0.02, alpha=0.05)
    assert test.update(np.zeros(1000)) == "pass"
    used = test.used
    assert test.update(-np.ones(1000)) == "pass"
    assert test.used == used < 1000


@pytest.mark.parametrize(
    ("chunk", "says"),
    [([0, np.nan], "NaN"), ([0, 2.0], "outside"), ([0.0] * 11, "announced")],
)
def test_bad_differences_are_refused(chunk: list[float], says: str) -> None:
    with pytest.raises(StatisticsError, match=says):
        SequentialTest(10, margin=0.1, alpha=0.05).update(chunk)


def test_an_impossible_margin_is_refused() -> None:
    with pytest.raises(StatisticsError, match="margin"):
        SequentialTest(10, margin=1.5, alpha=0.05)


def test_clipping_reports_its_share() -> None:
    clipped, share = clip_differences([-3.0, 0.1, 0.2, 5.0], -1, 1)
    assert clipped.tolist() == [-1.0, 0.1, 0.2, 1.0]
    assert share == 0.5
