"""Seeds crossed with items: variance components by hand, and cover where each of them rules."""

from __future__ import annotations

import numpy as np
import pytest

from steelyard.harness.errors import StatisticsError
from steelyard.harness.stats import crossed_effect


def test_components_are_those_of_a_two_way_table():
    # Two seeds, three items; by hand: seed means 2 and 4; item means over seeds 2, 3, 4.
    # Residuals of the seeds -1, 0, 1 and -1, 0, 1 are alike, so nothing is left as rest.
    effect = crossed_effect([[1, 2, 3], [3, 4, 5]])
    assert effect.mean == 3
    assert effect.spread == pytest.approx(2**0.5)
    assert effect.seed_variance == pytest.approx(1.0)
    assert effect.item_variance == pytest.approx(1 / 3)
    assert effect.rest_variance == 0
    low, high = effect.of_checkpoints()
    # t(2) = 4.3027 over 3 items
    assert (high - low) / 2 == pytest.approx(4.3027 / 3**0.5, abs=1e-4)
    low, high = effect.of_recipe_here()
    # t(1) = 12.706
    assert (high - low) / 2 == pytest.approx(12.7062, abs=1e-4)
    low, high = effect.of_recipe()
    assert (high - low) / 2 == pytest.approx(np.hypot(12.7062, 4.3027 / 3**0.5), abs=1e-3)


def test_one_seed_speaks_of_its_checkpoint_alone():
    effect = crossed_effect([[1.0, 2.0, 4.0]])
    assert effect.of_recipe() is None and effect.of_recipe_here() is None
    assert effect.item_variance == pytest.approx(np.var([1, 2, 4], ddof=1) / 3)


@pytest.mark.parametrize("changes", [[], [[1.0]], [[1.0, float("nan")]], [1.0, 2.0]])
def test_a_table_that_says_nothing_is_refused(changes):
    with pytest.raises(StatisticsError):
        crossed_effect(changes)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("seeds", [2, 5])
def test_the_recipes_interval_covers(seeds, share):
    """The share of the items in the error of one seed's mean, from none to all of it."""
    rng = np.random.default_rng(0)
    n, runs, inside = 60, 300, 0
    for _ in range(runs):
        seed = rng.normal(0, (1 - share) ** 0.5, (seeds, 1))
        item = rng.normal(0, (share * n) ** 0.5, (1, n))
        low, high = crossed_effect(seed + item + rng.normal(0, 1e-3, (seeds, n))).of_recipe()
        inside += low <= 0 <= high
    # .95 of 300 is 285; 272 or fewer have probability .002.
    assert inside > 272
