"""Bounds of a mean against what they must equal: Clopper and Pearson, Student, brute force."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy import stats

from steelyard.harness.stats import paired_test
from steelyard.harness.stats.bounds import (
    MeanBounds,
    Units,
    degrees_of_freedom,
    dirichlet_reach,
    rows_needed,
)
from tests.benchmark_modules import load

hard = load("stats_hard_cells")
calibration = load("stats_calibration")


def of_rows(values: np.ndarray, room: float = 1.0) -> Units:
    return Units.of_sums(values, np.ones(len(values)), room, room)


@pytest.mark.parametrize(("n", "lost"), [(50, 1), (50, 5), (200, 3), (1000, 2)])
@pytest.mark.parametrize("tail", [0.05, 0.025])
def test_with_a_whole_unseen_row_it_is_clopper_and_pearsons_limit(
    n: int, lost: int, tail: float
) -> None:
    losses = np.r_[-np.ones(lost), np.zeros(n - lost)]
    centred = losses - losses.mean()
    reach = dirichlet_reach(centred, 1 + losses.mean(), 1.0, -stats.norm.ppf(tail))
    limit = stats.beta.ppf(1 - tail, lost + 1, n - lost)
    assert reach - losses.mean() == pytest.approx(limit, rel=0.005)


@pytest.mark.parametrize("weight", [0.5, 1.0])
def test_the_saddlepoint_agrees_with_the_weights_drawn_at_random(weight: float) -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(0, 0.1, 40)
    values -= values.mean()
    shares, unseen = rng.exponential(size=(40_000, 40)), rng.gamma(weight, size=40_000)
    means = (shares @ values - unseen) / (shares.sum(axis=1) + unseen)
    # The 5% quantile of 40,000 draws is good to about 1.5% of itself.
    drawn = -np.quantile(means, 0.05)
    assert dirichlet_reach(values, 1.0, weight, 1.6449) == pytest.approx(drawn, rel=0.04)


def test_degrees_of_freedom_are_those_of_the_matrices_written_out() -> None:
    rng = np.random.default_rng(2)
    sizes = np.ceil(5 * (1 + rng.pareto(1.2, 20)))
    units = Units.of_sums(sizes * rng.normal(0, 1, 20), sizes, 1.0, 1.0)
    shares = sizes / sizes.sum()
    # Imbens and Kolesar's B for a mean, with the variance growing as the size (or its square).
    observed = units.deviations**2 / ((1 - shares) * shares)
    square, linear = np.linalg.lstsq(np.column_stack([shares, np.ones(20)]), observed, rcond=None)[
        0
    ]
    if square <= 0:
        square, linear = 0.0, 1.0
    elif linear <= 0:
        square, linear = 1.0, 0.0
    variances = np.diag(square * shares**2 + linear * shares)
    residual = np.eye(20) - np.outer(shares, np.ones(20))
    matrix = np.diag(1 / (1 - shares)) @ residual @ variances @ residual.T
    expected = np.trace(matrix) ** 2 / np.trace(matrix @ matrix)
    assert degrees_of_freedom(units) == pytest.approx(expected)


def test_equal_units_have_one_degree_less_than_their_number_and_students_error() -> None:
    values = np.random.default_rng(3).normal(0, 0.2, 400)
    bounds = MeanBounds.of(of_rows(values))
    assert bounds.degrees == pytest.approx(399)
    assert bounds.standard_error == pytest.approx(values.std(ddof=1) / 20)
    low, high = stats.t.interval(0.9, 399, 0, bounds.standard_error)
    assert bounds.interval(0.9) == pytest.approx((low, high), rel=0.06)
    # Never shorter than Student's.
    assert bounds.interval(0.9)[0] <= low and bounds.interval(0.9)[1] >= high


def test_one_huge_cluster_leaves_next_to_no_degrees_of_freedom() -> None:
    rng = np.random.default_rng(4)
    sizes = np.r_[290.0, np.full(29, 10.0)]
    units = Units.of_sums(sizes * rng.normal(0, 0.1, 30), sizes, 1.0, 1.0)
    assert degrees_of_freedom(units) < 6


@pytest.mark.parametrize("spread", [0.02, 0.05, 0.07, 0.1])
@pytest.mark.parametrize("tail", [0.05, 0.001])
def test_samples_that_show_no_loss_pass_wrongly_in_no_more_than_alpha(
    spread: float, tail: float
) -> None:
    # Of 200 symmetric rows, a share q would lose all and none of them was drawn: (1 - q)^200. The
    # others are right on average, so the bound must lie beyond what q takes but for a rest of t.
    values = spread * stats.norm.ppf((np.arange(200) + 0.5) / 200)
    bounds = MeanBounds.of(of_rows(values))
    reach = -bounds.interval(1 - 2 * tail)[0]
    shares = np.linspace(0, 0.06, 2001)
    rest = (reach - shares) / (1 - shares) / (values.std(ddof=1) / np.sqrt(200))
    wrong = (1 - shares) ** 200 * stats.t.sf(rest, 199)
    assert 0.85 * tail < wrong.max() <= 1.01 * tail


def test_losses_on_short_documents_leave_room_for_the_same_on_long_ones() -> None:
    sizes = np.r_[np.ones(360), np.full(40, 10.0)]
    rates = np.tile([-0.05, 0.05], 200)
    rates[:80:10] -= 1  # one short document in forty-five loses a nat a token, and no long one
    units = Units.of_sums(sizes * rates, sizes, 3.0, 3.0)
    bounds = MeanBounds.of(units)
    # Were the sizes not looked at: the weight from the third moment as the short ones show it.
    shown = -float((bounds.scaled**3).sum() / (bounds.scaled**2).sum()) / 3
    blind = dirichlet_reach(bounds.scaled, 3.0, shown, 1.6449)
    assert -bounds.interval(0.9)[0] > 1.1 * blind


def test_room_for_a_row_not_seen_costs_nothing_where_jitter_hides_it_anyway() -> None:
    # A standard error beyond a range over z n: nothing that was not seen moves the bound.
    values = np.tile([-0.2, 0.2], 100)
    bounds = MeanBounds.of(of_rows(values))
    student = stats.t.interval(0.9, 199, 0, bounds.standard_error)
    assert bounds.interval(0.9) == pytest.approx(student, rel=1e-6)
    # And where the rows hardly move, it is the rule of three but for their own error.
    calm = MeanBounds.of(of_rows(values / 2000)).interval(0.9)
    assert calm[1] == pytest.approx(1 - 0.05 ** (1 / 200), rel=0.01)


@pytest.mark.parametrize("spread", [0.01, 0.1, 0.3])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.999])
def test_the_p_value_is_the_level_at_which_the_interval_touches(
    spread: float, level: float
) -> None:
    bounds = MeanBounds.of(of_rows(np.random.default_rng(6).normal(0, spread, 60)))
    low, high = bounds.interval(level)
    assert bounds.p_value(low) == pytest.approx(1 - level, rel=0.03)
    assert bounds.p_value(high) == pytest.approx(1 - level, rel=0.03)


def test_the_fewest_rows_that_pass_are_the_rule_of_threes() -> None:
    # 1 - .05^(1/149) = .01990 and 1 - .05^(1/148) = .02004.
    assert rows_needed(0.02, 1.0, 0.05) == 149
    assert rows_needed(0.02, 0.5, 0.05) == 74
    assert rows_needed(0.0, 1.0, 0.05) is None
    # Three ranges over n are enough from n = 200 on.
    assert all((rows_needed(3 / n, 1.0, 0.05) or 0) <= n for n in range(200, 3000))


def test_too_few_rows_say_how_many_it_takes_and_rows_enough_do_not() -> None:
    before = np.random.default_rng(7).uniform(0.3, 0.6, 200)
    after = before + np.random.default_rng(8).normal(0, 0.02, 200)
    few = paired_test(before[:20], after[:20], kind="bounded", margin=0.02, draws=100)
    assert (few.verdict, few.needed) == ("inconclusive", 149)
    assert few.low is not None and few.low < -0.16  # all but the rule of three's 1 - .025^(1/20)
    many = paired_test(before, after, kind="bounded", margin=0.02, draws=100)
    assert (many.verdict, many.needed) == ("not_worse", None)


def test_a_single_bounded_row_has_the_widest_interval_that_can_be() -> None:
    result = paired_test([0.4], [0.5], kind="bounded", margin=0.02)
    assert (result.low, result.high, result.verdict) == (-1.0, 1.0, "inconclusive")
    assert "1 unit" in result.method


def test_jitter_without_the_rare_loss_is_no_small_p_value() -> None:
    # Twenty rows that all gain a little: sign flips alone say p = 2e-6, a rare loss says nothing.
    before = np.linspace(0.3, 0.6, 20)
    result = paired_test(before, before + np.linspace(0.005, 0.015, 20), kind="bounded", draws=2000)
    assert result.p_value > 0.5


def test_unchanged_answers_pass_by_the_rule_of_three() -> None:
    same = np.ones(200)
    assert paired_test(same, same, kind="accuracy", margin=0.015).verdict == "not_worse"
    assert paired_test(same, same, kind="accuracy", margin=0.0148).verdict == "inconclusive"


def test_the_result_names_its_test_and_why() -> None:
    before = np.random.default_rng(9).random(60)
    codes = np.repeat(np.arange(30), 2)
    result = paired_test(before, before * 0.9, kind="bounded", clusters=codes, draws=100)
    assert result.method == "cluster randomisation; guarded cluster t interval"
    assert result.reason == (
        "bounded rows: one not seen may change by 1; 30 clusters count as the units"
    )


def test_ten_thousand_rows_are_bounded_well_under_a_second() -> None:
    rng = np.random.default_rng(10)
    values = rng.uniform(-0.3, 0.3, 10_000)
    start = time.process_time()
    bounds = MeanBounds.of(of_rows(values))
    bounds.interval(0.9), bounds.interval(0.95), bounds.p_value(0.01)
    assert time.process_time() - start < 0.5


@pytest.mark.parametrize(
    "cell",
    [
        hard.rare_losses(50, 0.05, 0.05, 0.01),
        hard.near_one(100, 0.02),
        hard.pareto_clusters(20, "bounded", -0.03),
        hard.documents(100, 1.0, 0.0, outliers=0.02),
        hard.corpus_ratio(300, 2.0, -0.02),
    ],
    ids=lambda cell: cell.name,
)
def test_where_a_bootstrap_breaks_its_promise_this_keeps_it(cell) -> None:
    rates = calibration.run_fixed(cell, 150, resamples=200, seed=2)
    allowed = 0.06 + 2 * np.sqrt(0.05 * 0.95 / 150)
    assert rates.false_pass <= allowed
    assert rates.false_fail <= allowed
    assert rates.covered >= 0.935 - 2 * np.sqrt(0.05 * 0.95 / 150)


@pytest.mark.parametrize("turned", [False, True])
def test_a_corpus_score_of_a_baseline_at_zero_has_an_interval(turned: bool) -> None:
    # BLEU without an n-gram in common is 0, and so is the divergence from itself.
    rng = np.random.default_rng(0)
    words = rng.integers(5, 20, 60).astype(float)
    none, some = (np.column_stack([hits, words]) for hits in (0 * words, rng.binomial(3, 0.3, 60)))
    before, after = (some, none) if turned else (none, some)
    ratio = lambda sums: sums[..., 0] / sums[..., 1]  # noqa: E731
    result = paired_test(before, after, kind="corpus", aggregate=ratio)
    assert result.low is not None and result.high is not None
    assert result.low <= result.delta <= result.high
    assert result.verdict == ("worse" if turned else "better")
