"""Paired approximate randomisation: which run gave which row is shuffled within each sample.

Under "both runs are alike" the two rows of a sample may change places. Over column sums a swap is
a sign flip of the difference of the two rows, so one code serves sign-flip tests of means and
approximate randomisation of corpus scores (Riezler and Maxwell 2005; Noreen 1989).
"""

from __future__ import annotations

import numpy as np

from steelyard.harness.stats.resampling import sign_flip_sums
from steelyard.harness.stats.rows import Floats
from steelyard.harness.stats.scores import Score


def randomised_deltas(
    before: Floats, after: Floats, score: Score, draws: int, seed: int, by: Floats
) -> Floats:
    """(draws,) values of score(after) - score(before) with rows swapped at random.

    ``before`` and ``after`` are (n, k) columns, ``by`` the (n,) influences of the swap.
    """
    # A row of either run is the pair's middle plus or less half its difference, and a swap turns
    # the sign of the half: both runs' sums follow from one sum of signed halves.
    middle = (before.sum(axis=0) + after.sum(axis=0)) / 2
    half = sign_flip_sums((after - before) / 2, draws, seed, by)
    result: Floats = score(middle + half) - score(middle - half)
    return result


def exceedance_p_value(null: Floats, observed: float) -> float:
    """Two-sided Monte Carlo p-value: (1 + how many are as extreme) / (1 + draws).

    Ties count as extreme (Phipson and Smyth 2010), within the rounding of
    single-precision sums.
    """
    slack = 1e-5 * max(abs(observed), float(np.abs(null).max(initial=0.0)))
    extreme = int((np.abs(null) >= abs(observed) - slack).sum())
    return (extreme + 1) / (len(null) + 1)
