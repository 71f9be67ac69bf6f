"""Intervals of a mean that hold where rows are few, skewed, bounded, clustered or unequal.

Three bounds, and the widest of them on either side:

* **Student's t** with the small-sample correction for clusters: the squared residual of a unit that
  holds a share h of the whole is divided by 1 - h (CR2: Bell and McCaffrey 2002, Survey Methodology
  28:169-181), on Satterthwaite's degrees of freedom under a working variance fitted to the
  residuals (Imbens and Kolesar 2016, Review of Economics and Statistics 98:701-712). Twenty
  clusters of very unequal sizes are worth four.
* **Room for the rows that were not seen.** Rows that all jitter a little say nothing of one in
  fifty that loses everything. A share q of such units, each as bad as the range allows, stays out
  of n draws with probability (1 - q)^n, and what was seen then has only the rest of the distance
  left to err by: the p-value is the largest, over q, of (1 - q)^n times Student's for that rest.
  On rows that all agree it is the rule of three. On rows that jitter it is the least that any valid
  test must leave: Neyman and Pearson's lemma against each q, see ``docs/statistics.md``.
* **Losses that were seen, and are skewed.** Each unit gets an exponential weight, and beside them
  stands one more unit, at the worst that the range allows, with a gamma weight of shape w; the
  bound is the quantile of the weighted mean. With w = 1 it is Gaffke's bound (Gaffke 2005; Learned-
  Miller and Thomas 2020, arXiv 1905.06208), known in auditing as the multinomial-Dirichlet bound
  (Tsui, Matsumura and Tsui 1985, The Accounting Review 60:76-96); on 0/1 rows it is Clopper and
  Pearson's. It is read by a saddlepoint.

The weight w comes from the third moment. Student's quantile needs (2 z^2 + 1) / 6 of the skewness
(Johnson 1978, JASA 73:536-544) where the weights carry (z^2 - 1) / 3, which differ by a half; and a
sample that shows too few of the losses shows too little skewness as well, which is worth as much
again. So w is the third over the second moment, in units of the range: 1 where losses of full size
stand in rows that do not jitter, 0 where nothing is skewed. With normal jitter and Poisson losses
of any size the three together err in at most 1.16 alpha at 5% and 1.5 alpha at .1% (computed on a
grid of jitter, size and rate).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import special

from steelyard.harness.stats.rows import Floats

Interval = tuple[float, float]

_NEWTON_STEPS = 60
_SECANT_STEPS = 60
#: 0 to 1, dense near 0: rows that hardly jitter leave their largest p-value just beside the share
#: that takes the whole distance; elsewhere it is flat around its place.
_NEAR = np.linspace(1.0, 0.0, 96, endpoint=False) ** 3
#: A weight below it moves no bound, and its pole stands in the way of the saddlepoint.
_LEAST_WEIGHT = 1e-6
#: Residuals this small, relative to the range, are rounding.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Units:
    """What a mean is taken over: samples, documents or whole clusters, centred on the estimate."""

    deviations: Floats
    """(n,) each unit's distance from the estimate, times its size over the mean size."""
    shares: Floats
    """(n,) what each unit holds of the whole, summing to 1."""
    below: float
    """How far below the estimate a unit of mean size can lie; infinity where nothing is known."""
    above: float

    @classmethod
    def of_sums(cls, sums: Floats, sizes: Floats, below: float, above: float) -> Units:
        """Units whose estimate is ``sums.sum() / sizes.sum()``; (n,) each."""
        total = float(sizes.sum())
        estimate = float(sums.sum()) / total
        scale = len(sums) / total
        return cls((sums - estimate * sizes) * scale, sizes / total, below, above)

    @property
    def agree(self) -> bool:
        """Whether no unit departs from the others by more than rounding."""
        reach = _ROUNDING * max(1.0, min(self.below, self.above, 1e6))
        return bool((np.abs(self.deviations) <= reach).all())


@dataclass(frozen=True)
class MeanBounds:
    """The three bounds at any level, for the units that they were made of."""

    units: Units
    scaled: Floats
    """Deviations over sqrt(1 - share): as large as they would be had the unit no pull."""
    standard_error: float
    degrees: float

    @classmethod
    def of(cls, units: Units) -> MeanBounds:
        """At least two units."""
        left = np.maximum(1 - units.shares, 1e-9)
        scaled = units.deviations / np.sqrt(left)
        standard_error = math.sqrt(float((scaled**2).sum())) / len(scaled)
        return cls(units, scaled, standard_error, degrees_of_freedom(units))

    def interval(self, level: float) -> Interval:
        """Two-sided, at confidence ``level``, relative to the estimate: (negative, positive)."""
        tail = (1 - level) / 2
        return -self._reach(tail, 1.0), self._reach(tail, -1.0)

    def p_value(self, distance: float) -> float:
        """Two-sided, for a mean that lies ``distance`` above (or, negative, below) the estimate."""
        room = self.units.below if distance < 0 else self.units.above
        size, n = abs(distance), len(self.scaled)
        if self.units.agree:
            share = min(size / room, 1.0) if math.isfinite(room) else 1.0
            return min(1.0, 2 * (1 - share) ** n)
        student = float(special.stdtr(self.degrees, -size / self.standard_error))
        if not math.isfinite(room) or size == 0.0:
            return min(1.0, 2 * student)
        if size >= room:
            return 2 * student
        p_value = max(student, self._unseen_p_value(size, room))
        side = 1.0 if distance < 0 else -1.0
        weight = self._weight(side, room)
        if weight > 0:
            values, root = side * self.scaled, float(special.ndtri(student))
            # The stretch belongs to the level that is sought; it changes little: a few rounds do.
            for _ in range(4):
                stretch = self._stretch(float(special.ndtr(np.clip(root, -8.0, -0.1))))
                root, _ = _signed_root(stretch * values + size, size - room, weight, 0.0)
            p_value = max(p_value, float(special.ndtr(root)))
        return min(1.0, 2 * p_value)

    def _weight(self, side: float, room: float) -> float:
        """Shape of the added unit's weight: third over second moment, in units of ``room``.

        At most 1 for bounded rows; more where long documents or large clusters carry the losses.
        A loss that fell on short documents could have fallen on the long ones, which stand among
        the units as well: so the third moment is also taken from the losses a unit of size, as if
        these had nothing to do with the sizes. That one is no guess from the few units which lost,
        so half of it does (see above), and the larger of the two counts.
        """
        second, third, spread_out = self._moments
        weight = max(-side * third, -side * spread_out / 2) / (second * room)
        return weight if weight > _LEAST_WEIGHT else 0.0

    @cached_property
    def _moments(self) -> tuple[float, float, float]:
        """Sums of squares and of cubes, and these as if losses had nothing to do with sizes."""
        squares = self.scaled * self.scaled
        cubes = squares * self.scaled
        sizes = np.maximum(self.units.shares * len(self.scaled), _ROUNDING)
        apart = float((cubes / (sizes * sizes)).sum()) * float((sizes * sizes * sizes).mean())
        return float(squares.sum()), float(cubes.sum()), apart

    def _unseen_p_value(self, size: float, room: float) -> float:
        """One-sided: the largest, over shares not seen, of what those seen leave; see above."""
        most = -len(self.scaled) * math.log1p(-size / room)
        rates = np.concatenate([most * (1 - _NEAR), most + 3 * _NEAR])
        left = np.exp(-rates / len(self.scaled))
        rest = (size - (1 - left) * room) / left
        seen = special.stdtr(self.degrees, -rest / self.standard_error)
        return float((np.exp(-rates) * seen).max())

    def _unseen_reach(self, tail: float, room: float) -> float:
        """The distance at which ``_unseen_p_value`` is ``tail``, solved for each share at once."""
        rates = -math.log(tail) * (1 - _NEAR)
        left = np.exp(-rates / len(self.scaled))
        rest = -special.stdtrit(self.degrees, np.minimum(tail * np.exp(rates), 1 - 1e-12))
        return float(((1 - left) * room + left * self.standard_error * rest).max())

    def _stretch(self, tail: float) -> float:
        """What brings the weights' spread, over n + 1 units, to Student's quantile."""
        student, normal = special.stdtrit(self.degrees, tail), special.ndtri(tail)
        return float(student / normal) * math.sqrt(1 + 1 / len(self.scaled))

    def _reach(self, tail: float, side: float) -> float:
        """How far the bound lies from the estimate; ``side`` 1: below it, -1: above it."""
        room = self.units.below if side > 0 else self.units.above
        if self.units.agree:
            # Nothing but the rows not seen: the rule of three.
            return room * -math.expm1(math.log(tail) / len(self.scaled))
        z = -float(special.ndtri(tail))
        student = -float(special.stdtrit(self.degrees, tail))
        reach = student * self.standard_error
        if not math.isfinite(room) or z <= 0:
            return reach
        reach = max(reach, self._unseen_reach(tail, room))
        weight = self._weight(side, room)
        if weight > 0:
            values = side * self._stretch(tail) * self.scaled
            reach = max(reach, dirichlet_reach(values, room, weight, z))
        return reach


def degrees_of_freedom(units: Units) -> float:
    """Satterthwaite's, of the CR2 variance under a working variance fitted to the residuals.

    The closed form of tr(B)^2 / tr(B^2), B being the quadratic form's matrix over the units'
    residuals: diagonal plus rank two, so it costs O(n).
    """
    shares, variances = units.shares, _working_variances(units)
    weights = 1 / np.maximum(1 - shares, 1e-9)
    total = float(variances.sum())
    trace = float((weights * (variances - 2 * shares * variances + total * shares**2)).sum())
    pulls = float((weights * shares**2).sum())
    mixed = float((weights * shares * variances).sum())
    spread = float((weights * variances**2).sum())
    square = float((weights**2 * variances**2).sum())
    square += 2 * float(
        (weights**2 * variances * (total * shares**2 - 2 * shares * variances)).sum()
    )
    square += 2 * mixed**2 + 2 * pulls * spread - 4 * total * pulls * mixed
    square += total**2 * pulls**2
    return max(1.0, trace**2 / square) if square > 0 else max(1.0, len(shares) - 1.0)


def _working_variances(units: Units) -> Floats:
    """How a unit's variance grows with its size: by the size, its square, or between.

    Rows that vary on their own add up to the first, rows that move together to the second; least
    squares on the residuals says how much of each.
    """
    shares = units.shares
    if np.ptp(shares) <= 1e-12:
        return np.full(len(shares), 1.0)
    # Divided by the size, so that the largest units do not decide alone.
    observed = units.deviations**2 / np.maximum((1 - shares) * shares, 1e-300)
    used = shares > 0
    design = np.column_stack([shares[used], np.ones(int(used.sum()))])
    square, linear = np.linalg.lstsq(design, observed[used], rcond=None)[0]
    if square <= 0:
        return shares
    if linear <= 0:
        return np.asarray(shares**2)
    return np.asarray(square * shares**2 + linear * shares)


def dirichlet_reach(deviations: Floats, room: float, weight: float, z: float) -> float:
    """How far below 0 the bound lies, for (n,) deviations around 0 and a unit ``room`` below.

    Solved for the mean at which P(weighted sum <= mean) is ndtr(-z); that probability by the
    saddlepoint formula of Barndorff-Nielsen (1986), Biometrika 73:307-322, exact to about 1% of
    itself for sums of gammas.
    """
    worst = max(room, -float(deviations.min()))
    spread = math.sqrt(float((deviations**2).sum()) + weight * room**2) / len(deviations)
    # The signed root is nearly linear in the reach, so a bracketed secant takes few steps.
    near, far = 0.0, worst * (1 - 1e-9)
    height_near, height_far = z, -math.inf
    reach = min(weight * room / len(deviations) + z * spread, 0.5 * worst)
    tilt = 0.0
    for _ in range(_SECANT_STEPS):
        root, tilt = _signed_root(deviations + reach, reach - room, weight, tilt)
        height = root + z
        if height > 0:
            near, height_near = reach, height
        else:
            far, height_far = reach, height
        if abs(height) < 1e-6 or far - near < 1e-9 * worst:
            break
        step = 0.5 * (near + far)
        if math.isfinite(height_far) and near > 0:
            step = near + (far - near) * height_near / (height_near - height_far)
        elif height > 0:
            step = min(reach * (1 + 0.6 * height / z), step)
        elif near == 0.0:
            step = reach * max(0.3, 1 + 0.6 * height / z)
        reach = min(max(step, near + 0.01 * (far - near)), far - 0.01 * (far - near))
    return reach


def _signed_root(values: Floats, worst: float, weight: float, tilt: float) -> tuple[float, float]:
    """(normal quantile of P(sum of weighted values <= 0), saddlepoint).

    Weights of the (n,) ``values`` are exponential, of ``worst`` gamma of shape ``weight``.
    """
    least, most = min(float(values.min()), worst), max(float(values.max()), worst)
    if least >= 0:
        return -math.inf, 0.0
    if most <= 0:
        return math.inf, 0.0
    low, high = 1 / least, 1 / most
    if not low < tilt < high:
        tilt = 0.0
    # K'(t) rises from minus to plus infinity between the poles: Newton, kept inside the bracket.
    for _ in range(_NEWTON_STEPS):
        pulls, pull = values / (1 - tilt * values), worst / (1 - tilt * worst)
        first = float(pulls.sum()) + weight * pull
        second = float(pulls @ pulls) + weight * pull**2
        low, high = (low, tilt) if first > 0 else (tilt, high)
        step = first / second
        if abs(step) * math.sqrt(second) < 1e-9:
            break
        tilt = tilt - step if low < tilt - step < high else (low + high) / 2
    cumulant = -float(np.log1p(-tilt * values).sum()) - weight * math.log1p(-tilt * worst)
    root = math.copysign(math.sqrt(max(-2 * cumulant, 0.0)), tilt)
    wald = tilt * math.sqrt(second)
    if abs(root) < 1e-3:
        third = 2 * float((pulls**3).sum()) + 2 * weight * pull**3
        return root + third / (6 * second**1.5), tilt
    return root + math.log(wald / root) / root, tilt


def rows_needed(margin: float, room: float, alpha: float) -> int | None:
    """How many units show "not worse by ``margin``" at ``alpha`` where none of them changes.

    None where no number does, the margin being 0; the rule of three: about 3 ``room`` / margin.
    """
    if margin <= 0 or not math.isfinite(room):
        return None
    if margin >= room:
        return 1
    # The margin itself is not below the bound, so the next whole number where it divides evenly.
    return math.floor(math.log(alpha) / math.log1p(-margin / room)) + 1
