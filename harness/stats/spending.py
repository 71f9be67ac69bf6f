"""How much of a false-alarm budget each of an endless row of looks may spend."""

from __future__ import annotations

from steelyard.harness.errors import StatisticsError


def spent(budget: float, look: int) -> float:
    """The level of the ``look``-th test, from 1: ``budget / (look * (look + 1))``.

    The levels of all looks add up to ``budget``, since 1/(k(k+1)) = 1/k - 1/(k+1): by the union
    bound the chance that any of them raises a false alarm is at most ``budget``, however many there
    will be, when anyone stops, and although all look at the same items.

    Raises:
        StatisticsError: a budget outside 0 to 1, or a look before the first.
    """
    if not 0 < budget < 1:
        raise StatisticsError("a false-alarm budget lies between 0 and 1", value=budget)
    if look < 1:
        raise StatisticsError("looks are counted from 1", value=look)
    return budget / (look * (look + 1))
