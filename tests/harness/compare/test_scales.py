"""0.62 and 62 are one share on two scales; a difference of the two is nothing."""

from __future__ import annotations

import numpy as np
import pytest

from steelyard.harness.compare.scales import other_scale

RNG = np.random.default_rng(0)
RIGHT = (RNG.random(400) < 0.6).astype(float)
SHARES = RNG.beta(5, 3, 400)
MARKS = RNG.choice([0, 1, 2, 3, 4, 5], 400, p=[0.05, 0.05, 0.1, 0.2, 0.25, 0.35]).astype(float)


def told(baseline: np.ndarray, candidate: np.ndarray, right_or_wrong: bool = False) -> str | None:
    columns = (values.astype(float)[:, None] for values in (baseline, candidate))
    return other_scale(*columns, right_or_wrong=right_or_wrong)


@pytest.mark.parametrize(
    ("one", "other", "right_or_wrong"),
    [
        (RIGHT, 100 * RIGHT, True),
        (RIGHT, 5 * RIGHT, True),
        (RIGHT, 2 * RIGHT - 1, True),
        (RIGHT, RIGHT - 1e-6, True),
        (SHARES, 100 * SHARES, False),
        (SHARES, 1000 * SHARES, False),
        (SHARES, 5 * SHARES, False),
        (SHARES, 1 + 4 * SHARES, False),
        (SHARES, 2 * SHARES - 1, False),
        (SHARES, np.log(SHARES), False),
        (MARKS, 2 * MARKS, False),
        (MARKS, 20 * MARKS, False),
    ],
    ids=[
        "0/1 and 0/100", "0/1 and 0/5", "0/1 and -1/1", "0/1 and a little below",
        "shares, per cent", "shares, per mille", "shares, of five", "shares, one to five",
        "shares, -1 to 1",
        "shares, logarithms", "marks of 5 and 10", "marks of 5, per cent",
    ],
)  # fmt: skip
def test_another_scale_is_told_from_either_side(
    one: np.ndarray, other: np.ndarray, right_or_wrong: bool
) -> None:
    assert "another scale" in (told(one, other, right_or_wrong) or "")
    assert "another scale" in (told(other, one, right_or_wrong) or "")


@pytest.mark.parametrize(
    ("one", "other", "right_or_wrong"),
    [
        (RIGHT, 1 - RIGHT, True),
        (RIGHT, SHARES, True),
        (SHARES, np.clip(SHARES + 0.2, 0, 1), False),
        (RNG.poisson(0.4, 400), RNG.poisson(0.8, 400), False),
        (RNG.poisson(2, 400), RNG.poisson(6, 400), False),
        (RNG.normal(0, 1, 400), RNG.normal(3, 2, 400), False),
        (RNG.gamma(0.1, 3, 400), RNG.gamma(5, 5, 400), False),
        (RNG.beta(1, 5, 400) * 2, RNG.beta(1, 4, 400) * 2, False),
    ],
    ids=[
        "turned", "graded", "better", "counts", "larger counts", "rewards", "sentence BLEU", "Brier"
    ],
)  # fmt: skip
def test_what_may_be_one_scale_is_compared(
    one: np.ndarray, other: np.ndarray, right_or_wrong: bool
) -> None:
    assert told(one, other, right_or_wrong) is None
    assert told(other, one, right_or_wrong) is None
