"""Shares and paired changes of shares: 0/1 rows, alone or in clusters.

Intervals are score intervals: Wilson's for one share, Tango's for a paired difference (Tango 1998,
Statistics in Medicine 17:891-908). Unlike estimate +- z standard errors they hold their level
where few samples change: two runs that agree on all of n samples are known to differ by less than
about z^2 / (n + z^2), not by nothing.

Decisions add a continuity correction. At the margin losses are the more frequent flips, so the
score is skewed one way: to call a fall takes half a flip (without it the error reaches 9%, with it
5.4%), to pass takes 0.15 (6.0% without, 5.5% with it; half a flip would cost 7% more items at
n = 200). Both were computed exactly, by enumeration, for n from 8 to 1,000, margins from .0003 to
.1 and one to eighty flips a lost point. Intervals for display go without: they should cover 95%.

Clustered samples (questions on one passage) count for less in one run's share: the counts are
divided by the design effect, the clustered variance of the mean (Miller 2024, arXiv 2411.00640,
with the G / (G-1) correction) over the variance were they independent, and Student's t on G - 1
degrees of freedom replaces the normal (Rao and Scott 1992, Biometrics 48:577-585, for the scaling
of counts). Paired changes of clustered samples are units of a mean: see ``bounds``.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy import special
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from steelyard.harness.stats.rows import Floats, Labels, sum_clusters

DECISION_CORRECTION = 0.5
"""Continuity correction, in flips, of the interval that decides."""
PASSING_CORRECTION = 0.15
"""The same for the end that passes, where losses are the more frequent flips."""


def flips(baseline: Floats, candidate: Floats) -> tuple[int, int]:
    """(regressed, improved): samples that went 1 -> 0 and 0 -> 1; (n, 1) rows of 0/1."""
    regressed = int(((baseline == 1) & (candidate == 0)).sum())
    improved = int(((baseline == 0) & (candidate == 1)).sum())
    return regressed, improved


def mcnemar_p_value(regressed: int, improved: int) -> float:
    """Two-sided exact McNemar p-value of the two flip counts (statsmodels)."""
    table = [[0, regressed], [improved, 0]]
    return min(1.0, float(mcnemar(table, exact=True).pvalue))


def tango_interval(
    regressed: float, improved: float, n: float, z: float, correction: float = 0.0
) -> tuple[float, float]:
    """Score interval of the paired difference (improved - regressed) / n at the quantile ``z``.

    Counts may be fractions (divided by a design effect). ``correction`` is a continuity correction
    in flips.
    """

    def outside(difference: float) -> bool:
        return abs(tango_score(regressed, improved, n, difference, correction)) > z

    estimate = (improved - regressed) / n
    return _root(outside, -1.0 + 1e-12, estimate), _root(outside, 1.0 - 1e-12, estimate)


def _root(outside: Callable[[float], bool], end: float, estimate: float) -> float:
    """Where the interval ends between ``estimate`` (inside) and ``end``, by bisection.

    Fifty halvings; robust where the score is flat at the end of its range.
    """
    if not outside(end):
        return math.copysign(1.0, end)
    inner, outer = estimate, end
    for _ in range(50):
        middle = (inner + outer) / 2
        inner, outer = (inner, middle) if outside(middle) else (middle, outer)
    return (inner + outer) / 2


def tango_score(
    regressed: float, improved: float, n: float, difference: float, correction: float = 0.0
) -> float:
    """Tango's statistic for H0: p(improved) - p(regressed) = difference.

    The variance uses the restricted maximum-likelihood estimate of p(regressed).
    """
    # p(regressed) given the difference is the larger root of 2n q^2 + linear q + constant = 0.
    linear = -improved - regressed + (2 * n - improved + regressed) * difference
    constant = -regressed * difference * (1 - difference)
    restricted = (math.sqrt(max(linear**2 - 8 * n * constant, 0.0)) - linear) / (4 * n)
    variance = n * (2 * restricted + difference * (1 - difference))
    excess = improved - regressed - n * difference
    excess = math.copysign(max(abs(excess) - correction, 0.0), excess)
    if variance <= 1e-15 * n:
        return 0.0 if abs(excess) < 1e-12 * n else math.copysign(math.inf, excess)
    return excess / math.sqrt(variance)


def design_effect(differences: Floats, codes: Labels) -> float:
    """Clustered over independent variance of the mean; (n,) differences.

    Where nothing varies the clusters are taken as single observations: n / G.
    """
    n, groups = len(differences), int(codes.max()) + 1
    centred = (differences - differences.mean())[:, None]
    independent = float((centred**2).sum())
    if independent == 0.0:
        return n / groups
    # Residuals are summed within a cluster before they are squared: what its samples share adds up.
    clustered = float((sum_clusters(centred, codes) ** 2).sum()) * groups / max(groups - 1, 1)
    return max(clustered / independent, 1.0 / groups)


def paired_interval(baseline: Floats, candidate: Floats, level: float) -> tuple[float, float]:
    """Two-sided interval, at confidence ``level``, of the mean change of (n, 1) rows of 0/1."""
    z = float(special.ndtri((1 + level) / 2))
    return tango_interval(*flips(baseline, candidate), len(baseline), z)


def deciding_interval(regressed: int, improved: int, n: int, level: float) -> tuple[float, float]:
    """The interval that decides: with the continuity correction, exact where nothing changed."""
    if regressed == improved == 0:
        # The correction asks for 3.6 / n where the rule of three, which is exact, has 3 / n.
        reach = -math.expm1(math.log((1 - level) / 2) / n)
        return -reach, reach
    z = float(special.ndtri((1 + level) / 2))
    low, high = tango_interval(regressed, improved, n, z, DECISION_CORRECTION)
    if low <= 0:
        # An improvement is claimed with the full correction, "not worse" with less.
        passing = tango_interval(regressed, improved, n, z, PASSING_CORRECTION)[0]
        low = min(passing, 0.0)
    return low, high


def share_interval(values: Floats, codes: Labels | None, level: float) -> tuple[float, float]:
    """Wilson interval of a share, (n,) values of 0/1, on the effective n where clustered."""
    count, n = float(values.sum()), len(values)
    tail = 1 - level
    if codes is not None:
        effect = design_effect(values, codes)
        count, n_effective = count / effect, n / effect
        # statsmodels takes a normal tail: the one whose quantile is Student's.
        tail = 2 * float(special.ndtr(-special.stdtrit(int(codes.max()), (1 + level) / 2)))
        low, high = proportion_confint(count, n_effective, alpha=tail, method="wilson")
    else:
        low, high = proportion_confint(count, n, alpha=tail, method="wilson")
    return float(low), float(high)
