"""Multiplicity, slices, plans, percentiles and calibration errors."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from steelyard.harness.errors import StatisticsError
from steelyard.harness.stats import (
    benjamini_hochberg,
    discordance_of,
    holm,
    items_needed,
    minimum_detectable_effect,
    paired_test,
    percentile_interval,
    power_to_fail,
    power_to_pass,
    score_interval,
    slice_tests,
)
from steelyard.harness.stats.calibration import calibration_error


@pytest.mark.parametrize(
    ("margin", "items"),
    [(0.01, (3712, 6186, 9278)), (0.02, (928, 1547, 2320)), (0.03, (413, 688, 1031))],
)
def test_planned_items_are_the_reference_ones(margin: float, items: tuple[int, ...]) -> None:
    assert tuple(items_needed(margin, d) for d in (0.06, 0.10, 0.15)) == items


def test_power_at_gsm8k_size_is_the_normal_approximation() -> None:
    assert 1 - power_to_pass(1319, 0.02, 0.10) == pytest.approx(0.26, abs=0.005)
    assert power_to_fail(1319, 0.02, 0.10, true_delta=-0.05) == pytest.approx(0.97, abs=0.005)
    assert minimum_detectable_effect(1547, 0.10) == pytest.approx(0.02, abs=0.0001)
    assert discordance_of(3, 2, 99) == pytest.approx(0.06)


def test_impossible_plans_are_refused() -> None:
    with pytest.raises(StatisticsError):
        items_needed(0.02, 0.1, true_delta=-0.02)
    with pytest.raises(StatisticsError):
        items_needed(0.02, 0.0)


def flip_counts(rng: np.random.Generator, n: int, lost: float, gained: float) -> np.ndarray:
    return rng.choice([-1, 0, 1], n, p=[lost, 1 - lost - gained, gained])


def test_full_runs_at_gsm8k_size_decide_as_often_as_the_normal_approximation_says() -> None:
    rng, undecided, failed = np.random.default_rng(0), 0, 0
    known: dict[tuple[int, int], str] = {}

    def verdict(change: np.ndarray) -> str:
        key = (int((change < 0).sum()), int((change > 0).sum()))
        if key not in known:
            before, after = (change < 0).astype(float), (change > 0).astype(float)
            known[key] = paired_test(before, after, kind="accuracy", margin=0.02).verdict
        return known[key]

    for _ in range(2000):
        undecided += verdict(flip_counts(rng, 1319, 0.05, 0.05)) == "inconclusive"
        failed += verdict(flip_counts(rng, 1319, 0.075, 0.025)) == "worse"
    assert undecided / 2000 < 0.30
    assert failed / 2000 > 0.90


def test_holm_and_benjamini_hochberg_adjust_in_the_order_given() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert benjamini_hochberg([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.04, 0.04])
    assert len(holm([])) == 0
    with pytest.raises(StatisticsError):
        holm([0.1, 1.2])


def slice_run(rng: np.random.Generator, drop: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """20 slices of 60 items; a drop of ``drop`` is planted in slice 7 on top of the flips."""
    change = np.concatenate(
        [flip_counts(rng, 60, 0.05 + (drop if index == 7 else 0), 0.05) for index in range(20)]
    )
    return (change < 0).astype(float), (change > 0).astype(float), np.repeat(np.arange(20), 60)


def test_slices_raise_few_false_alarms_and_find_a_planted_drop() -> None:
    rng, runs = np.random.default_rng(1), 80
    false = found = 0
    for _ in range(runs):
        false += slice_tests(*slice_run(rng, 0.0), kind="accuracy")[0].flagged
        results = slice_tests(*slice_run(rng, 0.30), kind="accuracy")
        found += next(one for one in results if one.name == 7).flagged
    assert false / runs <= 0.05
    assert found / runs >= 0.80


def test_slices_take_masks_and_other_kinds() -> None:
    rng = np.random.default_rng(2)
    before = rng.random(300)
    after = before + rng.normal(0, 0.05, 300)
    after[:60] -= 0.2
    masks = {"first": np.arange(300) < 60, "rest": np.arange(300) >= 60}
    first, rest = slice_tests(before, after, masks, kind="bounded", draws=2000)
    assert (first.name, first.flagged, rest.flagged) == ("first", True, False)
    beyond = slice_tests(before, after, masks, kind="bounded", margin=0.3, draws=2000)
    assert not any(one.flagged for one in beyond)
    with pytest.raises(StatisticsError, match="without samples"):
        slice_tests(before, after, {"none": []}, kind="bounded")


def test_percentile_intervals_are_order_statistics_with_the_promised_coverage() -> None:
    value, low, high = percentile_interval(np.arange(1, 101), 50)
    # Hahn and Meeker, table A.15: ranks 40 and 61 for the median of 100 at 95%.
    assert (value, low, high) == (50.5, 40.0, 61.0)
    assert percentile_interval(np.arange(10.0), 95).high is None
    rng = np.random.default_rng(3)
    truth = stats.lognorm.ppf(0.95, 1.0)
    covered = 0
    for _ in range(400):
        _, low, high = percentile_interval(rng.lognormal(0, 1, 200), 95)
        assert low is not None and high is not None
        covered += low <= truth <= high
    assert covered / 400 > 0.93


def test_wilson_interval_is_the_published_one() -> None:
    # Newcombe 1998, table I, method 3: 81 of 263 -> .2553 to .3662.
    value, low, high = score_interval(np.r_[np.ones(81), np.zeros(182)], kind="accuracy")
    assert (value, low, high) == pytest.approx((81 / 263, 0.2553, 0.3662), abs=0.0001)


def test_perplexity_interval_holds_the_perplexity() -> None:
    rng = np.random.default_rng(4)
    length = rng.integers(5, 300, 80).astype(float)
    rows = np.column_stack([length * rng.normal(-3, 0.3, 80), length])
    value, low, high = score_interval(rows, kind="perplexity")
    assert value == pytest.approx(np.exp(-rows[:, 0].sum() / rows[:, 1].sum()))
    assert low is not None and high is not None and low < value < high
    assert score_interval(rows[:1], kind="perplexity").low is None


def test_three_equal_scores_are_no_exact_score() -> None:
    value, low, high = score_interval(np.full(3, 0.9), kind="bounded")
    assert value == pytest.approx(0.9)
    # The rule of three towards either end: an unseen score weighs 1 - .025^(1/3) at most.
    share = 1 - 0.025 ** (1 / 3)
    assert low == pytest.approx(0.9 - 0.9 * share)
    assert high == pytest.approx(0.9 + 0.1 * share)
    many = score_interval(np.full(1000, 0.9), kind="bounded")
    assert many.low == pytest.approx(0.9, abs=0.005)


def test_a_calibrated_model_has_a_calibration_error_near_zero_and_a_biased_one_its_bias() -> None:
    rng = np.random.default_rng(5)
    debiased, shifted = [], []
    for _ in range(40):
        confidence = 0.2 + 0.6 * rng.random(400)
        right = (rng.random(400) < confidence).astype(float)
        debiased.append(calibration_error(np.column_stack([confidence, right]), "ece"))
        shifted.append(calibration_error(np.column_stack([confidence + 0.2, right]), "ece"))
    # Ten bins of forty: sampling noise alone gives the plain estimate sqrt(2/pi * p(1-p) / 40).
    plain = np.sqrt(2 / np.pi * np.mean([p * (1 - p) for p in np.linspace(0.2, 0.8, 100)]) / 40)
    assert np.mean(debiased) < 0.7 * plain
    assert np.mean(shifted) == pytest.approx(0.2, abs=0.015)


def test_risk_coverage_area_is_the_mean_of_the_selective_risks() -> None:
    confidence = np.array([0.9, 0.8, 0.7, 0.6])
    right = np.array([1.0, 0.0, 1.0, 0.0])
    risks = [0, 1 / 2, 1 / 3, 2 / 4]
    rows = np.column_stack([confidence, right])
    assert calibration_error(rows, "aurc") == pytest.approx(np.mean(risks))
    tied = np.column_stack([np.full(4, 0.5), right])
    assert calibration_error(tied, "aurc") == pytest.approx(0.5)


@pytest.mark.parametrize("method", ["ece", "aurc", "brier"])
def test_calibration_comparisons_see_a_spoilt_model(method: str) -> None:
    rng = np.random.default_rng(6)
    confidence = 0.05 + 0.9 * rng.random(600)
    right = (rng.random(600) < confidence).astype(float)
    good = np.column_stack([confidence, right])
    spoilt = np.column_stack([rng.permutation(np.sqrt(confidence)), right])
    result = paired_test(good, spoilt, kind="calibration", method=method, draws=500)
    assert result.verdict == "worse"
    assert result.p_value < 0.01
    value, low, high = score_interval(good, kind="calibration", method=method, draws=500)
    assert low is not None and high is not None and low <= value <= high
