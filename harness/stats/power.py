"""Plan before spending: how many items a margin needs, and what a number of items can show.

For paired 0/1 scores the difference of a sample has variance discordance - delta^2, discordance
being the share of samples that change either way (Miller 2024, arXiv 2411.00640, section 5;
Connor 1987, Biometrics 43:207-211). Both quantiles are rounded up to three decimals, as in printed
tables: never fewer items than exact arithmetic gives, and at most 0.1% more.
"""

from __future__ import annotations

import math

from scipy import special

from steelyard.harness.errors import StatisticsError


def items_needed(
    margin: float,
    discordance: float,
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    true_delta: float = 0.0,
) -> int:
    """Items for a one-sided test at ``alpha`` to show "not worse by ``margin``" with ``power``.

    Shares, not points: margin 0.02 is two points. ``true_delta`` is the candidate's true change; it
    must lie above -margin. Raises ``StatisticsError`` otherwise.
    """
    _check(discordance, alpha, power)
    distance = margin + true_delta
    if distance <= 0:
        raise StatisticsError(
            "margin + true_delta must be above 0: no number of items shows that", value=distance
        )
    # The margin must be as many standard errors away as both quantiles together.
    quantiles = _upper(1 - alpha) + _upper(power)
    variance = max(discordance - true_delta**2, 0.0)
    return max(1, math.ceil(quantiles**2 * variance / distance**2))


def minimum_detectable_effect(
    n: int, discordance: float, *, alpha: float = 0.05, power: float = 0.8
) -> float:
    """The smallest true change that ``n`` items find with ``power``, one-sided at ``alpha``."""
    _check(discordance, alpha, power)
    if n < 1:
        raise StatisticsError("n must be 1 or more", value=n)
    return float((special.ndtri(1 - alpha) + special.ndtri(power)) * math.sqrt(discordance / n))


def power_to_pass(
    n: int, margin: float, discordance: float, *, alpha: float = 0.05, true_delta: float = 0.0
) -> float:
    """The chance that ``n`` items show "not worse by ``margin``" (normal approximation)."""
    _check(discordance, alpha, 0.5)
    variance = max(discordance - true_delta**2, 1e-12) / max(n, 1)
    reach = (margin + true_delta) / math.sqrt(variance)
    return float(special.ndtr(reach - special.ndtri(1 - alpha)))


def power_to_fail(
    n: int, margin: float, discordance: float, *, alpha: float = 0.05, true_delta: float
) -> float:
    """The chance that ``n`` items show "worse by more than ``margin``" (normal approximation)."""
    return power_to_pass(n, -margin, discordance, alpha=alpha, true_delta=-true_delta)


def discordance_of(regressed: int, improved: int, n: int) -> float:
    """Share of samples that changed, as a plan should assume it: one more flip than was seen."""
    if n < 1 or regressed < 0 or improved < 0 or regressed + improved > n:
        raise StatisticsError("flips must lie between 0 and n", value=(regressed, improved, n))
    return min(1.0, (regressed + improved + 1) / (n + 1))


def _upper(share: float) -> float:
    return math.ceil(float(special.ndtri(share)) * 1000 - 1e-9) / 1000


def _check(discordance: float, alpha: float, power: float) -> None:
    for name, value, top in (
        ("discordance", discordance, 1.0),
        ("alpha", alpha, 0.5),
        ("power", power, 1.0),
    ):
        if not 0 < value <= top or (name != "discordance" and value == top):
            raise StatisticsError(f"{name} must lie between 0 and {top:g}", value=value)
