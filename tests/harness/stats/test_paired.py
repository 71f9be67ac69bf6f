"""The paired test: outside numbers for 0/1 rows, verdict rules, bad input, speed and memory."""

from __future__ import annotations

import csv
import json
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from steelyard.harness.errors import StatisticsError
from steelyard.harness.stats import paired_test
from steelyard.harness.stats.resampling import bootstrap_sums, sign_flip_sums


def mmlu_answers(folder: Path) -> dict[str, np.ndarray]:
    with (folder / "mmlu_checkpoints" / "per_item.csv").open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    return {
        name: np.array([[float(row[name] == row["answer"])] for row in rows])
        for name in ("ckpt0", "ckpt50", "ckpt100")
    }


def test_mmlu_checkpoints_give_the_published_mcnemar_p_values_and_flips(real_data: Path) -> None:
    right = mmlu_answers(real_data)
    late = paired_test(right["ckpt0"], right["ckpt100"], kind="accuracy")
    early = paired_test(right["ckpt0"], right["ckpt50"], kind="accuracy")
    assert late.n == 12343
    assert late.p_value == pytest.approx(0.015, abs=0.0005)
    assert early.p_value == pytest.approx(0.39, abs=0.005)
    change = right["ckpt100"] - right["ckpt0"]
    assert ((change < 0).sum(), (change > 0).sum()) == (640, 555)
    assert late.delta == pytest.approx((555 - 640) / 12343)
    assert late.verdict == "worse"
    assert early.verdict == "inconclusive"


def test_gsm8k_solutions_match_scipys_binomial_test(real_data: Path) -> None:
    text = (real_data / "gsm8k" / "example_model_solutions.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    tuned, verified = (
        np.array([float(row[name]["is_correct"]) for row in rows])
        for name in ("6b_finetuning", "6b_verification")
    )
    assert (round(tuned.mean(), 3), round(verified.mean(), 3)) == (0.217, 0.390)
    result = paired_test(tuned, verified, kind="accuracy", margin=0.02)
    gained, lost = int((verified > tuned).sum()), int((verified < tuned).sum())
    assert result.p_value == pytest.approx(stats.binomtest(lost, lost + gained).pvalue, rel=1e-9)
    assert result.verdict == "better"
    assert result.low is not None
    assert 0.14 < result.low < result.delta < 0.21


def test_tango_interval_is_the_published_one() -> None:
    # Tango 1998, table II example (a): 43 of 44 agree on one, n = 44, one discordant each way 0/1.
    before = np.array([1.0] * 1 + [0.0] * 0 + [1.0] * 43)
    after = np.array([0.0] * 1 + [0.0] * 0 + [1.0] * 43)
    result = paired_test(before, after, kind="accuracy")
    # -0.118 and 0.060 in the paper's orientation (delta = 1/44, 95%): score interval.
    assert result.low == pytest.approx(-0.118, abs=0.001)
    assert result.high == pytest.approx(0.060, abs=0.001)


@pytest.mark.parametrize(
    ("lost", "gained", "margin", "verdict"),
    [
        (10, 60, 0.02, "better"),
        (50, 50, 0.03, "not_worse"),
        (120, 20, 0.03, "worse"),
        (60, 50, 0.02, "inconclusive"),
        (0, 0, 0.02, "not_worse"),
        (0, 0, 0.0, "inconclusive"),
    ],
)
def test_verdicts_read_the_interval_against_zero_and_the_margin(
    lost: int, gained: int, margin: float, verdict: str
) -> None:
    before = np.r_[np.ones(lost), np.zeros(gained), np.ones(1000 - lost - gained)]
    after = np.r_[np.zeros(lost), np.ones(gained), np.ones(1000 - lost - gained)]
    assert paired_test(before, after, kind="accuracy", margin=margin).verdict == verdict


def test_margin_of_a_point_and_a_half_is_decided_by_more_than_the_point_estimate() -> None:
    before = np.r_[np.ones(30), np.zeros(20), np.ones(450)]
    after = np.r_[np.zeros(30), np.ones(20), np.ones(450)]
    result = paired_test(before, after, kind="accuracy", margin=0.015)
    assert result.delta == -0.02
    assert result.verdict == "inconclusive"


def test_identical_small_runs_are_not_declared_equal_to_within_a_hair() -> None:
    same = np.ones(20)
    result = paired_test(same, same, kind="accuracy", margin=0.02)
    assert result.verdict == "inconclusive"
    assert result.p_value == 1.0


@pytest.mark.parametrize("changed", [0, 1, 4])
def test_a_handful_of_changed_rows_prove_no_more_than_none(changed: int) -> None:
    before = np.full(20, 0.5)
    after = before.copy()
    after[:changed] += 1e-3
    result = paired_test(before, after, kind="bounded", margin=0.02)
    assert result.verdict == "inconclusive"
    assert result.low is not None
    # Rule of three: nothing seen in 20 leaves 1 - .025^(1/20) = .1684 of them open, to fall from
    # where they are; their own error, a thousandth, is all that it may differ by.
    fall = 0.1684 * (1 + result.delta)
    assert result.low == pytest.approx(result.delta - fall, abs=0.001)


@pytest.mark.parametrize("n", [2, 3, 4])
@pytest.mark.parametrize("kind", ["bounded", "corpus", "perplexity", "ratio"])
def test_four_units_decide_nothing(n: int, kind: str) -> None:
    steps = np.linspace(0.1, 0.2, n)
    columns = {"bounded": 1, "ratio": 1, "corpus": 2, "perplexity": 2}[kind]
    before = np.ones((n, columns))
    before[:, 0] *= -1 if kind == "perplexity" else 1
    after = before.copy()
    after[:, 0] += -steps if kind == "ratio" else steps
    aggregate = (lambda sums: sums[..., 0] / sums[..., 1]) if kind == "corpus" else None
    result = paired_test(before, after, kind=kind, margin=0.02, aggregate=aggregate)
    assert result.delta > 0
    assert result.verdict == "inconclusive"


def test_differences_that_are_all_alike_keep_an_interval() -> None:
    before = np.full(20, 0.5)
    result = paired_test(before, before - 0.01, kind="bounded", margin=0.02)
    assert result.verdict == "inconclusive"
    many = np.full(1000, 0.5)
    assert paired_test(many, many - 0.01, kind="bounded", margin=0.02).verdict == "not_worse"


def test_lower_is_better_turns_the_sign() -> None:
    rng = np.random.default_rng(0)
    before = rng.random(200)
    after = before + 0.05 + rng.normal(0, 0.01, 200)
    up = paired_test(before, after, kind="bounded")
    down = paired_test(before, after, kind="bounded", higher_is_better=False)
    assert (up.verdict, down.verdict) == ("better", "worse")
    assert up.delta == pytest.approx(-down.delta)
    cost = paired_test(before + 1, after + 1, kind="ratio")
    assert cost.verdict == "worse"
    assert cost.delta == pytest.approx(-np.log((after + 1) / (before + 1)).mean())


def test_perplexity_delta_is_the_log_ratio_of_the_perplexities() -> None:
    rng = np.random.default_rng(1)
    length = rng.integers(10, 500, 1500).astype(float)
    before = np.column_stack([-3.0 * length + rng.normal(0, 5, 1500), length])
    after = before + np.column_stack([0.02 * length, np.zeros(1500)])
    result = paired_test(before, after, kind="perplexity", margin=0.01)
    perplexity = [np.exp(-rows[:, 0].sum() / rows[:, 1].sum()) for rows in (before, after)]
    assert result.delta == pytest.approx(np.log(perplexity[0] / perplexity[1]))
    assert result.verdict == "better"


def test_the_same_seed_gives_the_same_numbers_and_row_order_hardly_matters() -> None:
    rng = np.random.default_rng(2)
    before, noise = rng.random(300), rng.normal(0.01, 0.1, 300)
    after = before + noise
    one, two = (paired_test(before, after, kind="bounded", seed=3) for _ in range(2))
    assert one == two
    order = rng.permutation(300)
    other = paired_test(before[order], after[order], kind="bounded", seed=3)
    assert one.low is not None and other.low is not None
    assert other.delta == pytest.approx(one.delta)
    assert other.low == pytest.approx(one.low, abs=0.0015)


def test_clusters_widen_the_interval_where_their_samples_move_together() -> None:
    rng = np.random.default_rng(3)
    codes = np.repeat(np.arange(100), 8)
    drop = np.repeat(rng.random(100) < 0.1, 8)
    before = np.ones(800)
    after = np.where(drop, 0.0, 1.0)
    alone = paired_test(before, after, kind="accuracy")
    together = paired_test(before, after, kind="accuracy", clusters=codes)
    graded = paired_test(before, after * 0.5, kind="bounded", clusters=codes.tolist())
    assert None not in (alone.low, alone.high, together.low, together.high)
    widths = [one.high - one.low for one in (alone, together)]  # type: ignore[operator]
    assert widths[1] / widths[0] > 2.4  # about sqrt(8)
    # Eight of a hundred clusters are lost: Clopper and Pearson's upper limit is .1516.
    assert together.low == pytest.approx(-0.1516, abs=0.002)
    assert "cluster" in together.method and "cluster" in graded.method
    assert together.p_value > alone.p_value


def test_clusters_of_one_are_no_clusters() -> None:
    before, after = np.r_[np.ones(50), np.zeros(50)], np.r_[np.zeros(10), np.ones(90)]
    labels = [f"document {index}" for index in range(100)]
    plain = paired_test(before, after, kind="accuracy")
    assert paired_test(before, after, kind="accuracy", clusters=labels) == plain


def test_one_document_carries_no_interval_and_decides_nothing() -> None:
    result = paired_test([[-30.0, 10]], [[-20.0, 10]], kind="perplexity", margin=0.1)
    assert (result.low, result.high, result.mde) == (None, None, None)
    assert result.verdict == "inconclusive"
    assert result.delta == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("before", "after", "kind", "says"),
    [
        ([], [], "accuracy", "no rows"),
        ([1, 0], [1], "accuracy", "same samples"),
        ([1, np.nan], [1, 0], "accuracy", "NaN"),
        ([0.5, 1], [1, 1], "accuracy", "0 or 1"),
        ([[1, 2], [3, 4]], [[1, 2], [3, 4]], "bounded", "columns"),
        ([[-1, 0]], [[-1, 0]], "perplexity", "lengths"),
        ([1, -1], [1, 1], "ratio", "above 0"),
        ([[1.5, 1]], [[0.5, 1]], "calibration", "confidence"),
        ([1, 0], [1, 0], "acuracy", "did you mean 'accuracy'"),
        (["a"], ["b"], "bounded", "numbers"),
        ([[1, 2]], [[1, 2]], "corpus", "aggregate"),
    ],
)
def test_bad_rows_are_one_line_that_names_the_fault(
    before: object, after: object, kind: str, says: str
) -> None:
    with pytest.raises(StatisticsError, match=says) as caught:
        paired_test(before, after, kind=kind)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_bad_levels_and_methods_are_refused() -> None:
    rows = [1.0, 0.0]
    for options in ({"alpha": 0.7}, {"margin": -1.0}, {"method": "t-test"}, {"clusters": [1]}):
        with pytest.raises(StatisticsError):
            paired_test(rows, rows, kind="bounded", **options)  # type: ignore[arg-type]


def test_a_hundred_thousand_rows_take_under_two_seconds_and_a_gigabyte() -> None:
    rng = np.random.default_rng(4)
    before = rng.random((100_000, 1))
    after = before + rng.normal(0, 0.1, before.shape)
    start = time.process_time()
    paired_test(before, after, kind="bounded", draws=10_000)
    assert time.process_time() - start < 2
    tracemalloc.start()
    paired_test(before, after, kind="bounded", draws=10_000)
    assert tracemalloc.get_traced_memory()[1] < 1e9
    tracemalloc.stop()


def test_blocked_resampling_has_the_exact_moments() -> None:
    rng = np.random.default_rng(5)
    columns = np.column_stack([rng.exponential(1, 50_000), rng.random(50_000)])
    sums = bootstrap_sums(columns, 4000, 0, columns[:, 0])
    centred = columns - columns.mean(axis=0)
    spread = columns.std(axis=0) * np.sqrt(50_000)
    drawn, exact = np.cov(sums.T), centred.T @ centred
    # Correlations of 4,000 draws are good to about 1/63.
    assert drawn / np.outer(spread, spread) == pytest.approx(
        exact / np.outer(spread, spread), abs=0.08
    )
    z = (sums.mean(axis=0) - columns.sum(axis=0)) / sums.std(axis=0) * np.sqrt(4000)
    assert (abs(z) < 4).all()
    flipped = sign_flip_sums(columns, 4000, 0, columns[:, 0])
    assert flipped.var(axis=0) == pytest.approx((columns**2).sum(axis=0), rel=0.15)


def test_blocked_quantiles_match_the_exact_bootstrap(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = np.random.default_rng(6).exponential(1, (2000, 1)) ** 2
    exact = bootstrap_sums(columns, 8000, 0, columns[:, 0])[:, 0]
    monkeypatch.setattr("steelyard.harness.stats.resampling.EXACT_CELLS", 0)
    blocked = bootstrap_sums(columns, 8000, 1, columns[:, 0])[:, 0]
    assert stats.ks_2samp(exact, blocked).pvalue > 0.001
    assert stats.skew(blocked) == pytest.approx(stats.skew(exact), abs=0.12)


@pytest.mark.parametrize(
    ("n", "verdict"), [(3, "inconclusive"), (148, "inconclusive"), (149, "not_worse")]
)
def test_rows_that_change_nowhere_prove_no_more_than_their_number(n, verdict):
    # The rule of three: 3/n at 95%; 1 - .05^(1/149) = .01990, 1 - .05^(1/148) = .02004.
    values = np.linspace(0, 1, n)[:, None]
    found = paired_test(values, values, kind="bounded", margin=0.02, draws=1000)
    assert (found.delta, found.p_value, found.verdict) == (0.0, 1.0, verdict)
    assert found.low == -found.high
    assert found.high == pytest.approx(1 - 0.025 ** (1 / n))


def test_a_corpus_score_that_changes_nowhere_is_bounded_by_its_own_size():
    rows = np.column_stack([np.arange(1.0, 21.0), np.full(20, 40.0)])
    found = paired_test(
        rows, rows, kind="corpus", aggregate=lambda s: 100 * s[0] / s[1], draws=1000
    )
    score = 100 * rows[:, 0].sum() / rows[:, 1].sum()
    assert found.high == pytest.approx(score * (1 - 0.025 ** (1 / 20)))
