"""A false-alarm budget that lasts for ever."""

from __future__ import annotations

import pytest

from steelyard.harness.errors import StatisticsError
from steelyard.harness.stats import spent


def test_the_levels_of_all_looks_add_up_to_the_budget() -> None:
    # The sum of 1/(k(k+1)) up to n is 1 - 1/(n+1).
    assert sum(spent(0.05, look) for look in range(1, 10_000)) == pytest.approx(0.05 * 0.9999)


@pytest.mark.parametrize(("budget", "look"), [(0.0, 1), (1.0, 1), (float("nan"), 1), (0.05, 0)])
def test_no_budget_and_no_look_are_refused(budget: float, look: int) -> None:
    with pytest.raises(StatisticsError):
        spent(budget, look)
