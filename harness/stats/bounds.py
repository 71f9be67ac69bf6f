"""Intervals of a mean that hold where rows are few, skewed, bounded, clustered or unequal.

Two bounds, and the wider of them on either side:

* **Student's t** with the small-sample correction for clusters: the squared residual of a unit that
  holds a share h of the whole is divided by 1 - h (CR2: Bell and McCaffrey 2002, Survey Methodology
  28:169-181), on Satterthwaite's degrees of freedom under a working variance fitted to the
  residuals (Imbens and Kolesar 2016, Review of Economics and Statistics 98:701-712). Twenty
  clusters of very unequal sizes are worth four.
* **A bound that leaves room for the row that was not seen.** Rows that all jitter a little say
  nothing of one in fifty that loses everything. Each unit gets an exponential weight, and beside
  them stands one more unit, at the worst that the range allows, with a gamma weight of shape w; the
  bound is the quantile of the weighted mean. With w = 1 it is Gaffke's bound (Gaffke 2005; Learned-
  Miller and Thomas 2020, arXiv 1905.06208), known in auditing as the multinomial-Dirichlet bound
  (Tsui, Matsumura and Tsui 1985, The Accounting Review 60:76-96): on 0/1 rows it is Clopper and
  Pearson's, on rows that all agree the rule of three. Its signed root is the logarithm of the
  capital that the best constant bet has in hindsight (Waudby-Smith and Ramdas 2023, section 4; the
  empirical likelihood of Owen 1988), read by a saddlepoint instead of Ville's inequality, which
  would cost twice the items.

A whole unseen unit is more than is needed once the rows' own jitter blurs single losses. Half of
one makes up for the skewness of losses of full size: these weights carry (z^2 - 1) / 3 of it, and
Student's quantile needs (2 z^2 + 1) / 6 (Johnson 1978, JASA 73:536-544), which differ by a half.
So w falls from 1, where nothing jitters, to 1/2, and further where the jitter hides a unit
altogether.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from steelyard.harness.stats.rows import Floats

Interval = tuple[float, float]

_NEWTON_STEPS = 60
_SECANT_STEPS = 60
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
    """Both bounds at any level, for the units that they were made of."""

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
        side = 1.0 if distance < 0 else -1.0
        values, weight = side * self.scaled, self._unseen(side, room)
        root = -size / self.standard_error
        # The stretch belongs to the level that is sought; it changes little, so a few rounds do.
        for _ in range(4):
            stretch = self._stretch(float(special.ndtr(np.clip(root, -8.0, -0.1))))
            root, _ = _signed_root(stretch * values + size, size - room, weight, 0.0)
        return min(1.0, 2 * max(student, float(special.ndtr(root))))

    def _unseen(self, side: float, room: float) -> float:
        """Shape of the unseen unit's weight: at least what the skewness seen asks for.

        Half of third over second moment (see above): no more than half a unit for rows of one
        size, more where long documents or large clusters carry the losses.
        """
        third = -side * float((self.scaled**3).sum())
        skewness = 0.5 * third / (float((self.scaled**2).sum()) * room)
        return max(unseen_weight(self.scaled, room), skewness)

    def _stretch(self, tail: float) -> float:
        """What brings the weights' spread, over n + 1 units, to Student's quantile."""
        student, normal = special.stdtrit(self.degrees, tail), special.ndtri(tail)
        return float(student / normal) * math.sqrt(1 + 1 / len(self.scaled))

    def _reach(self, tail: float, side: float) -> float:
        """How far the bound lies from the estimate; ``side`` 1: below it, -1: above it."""
        room = self.units.below if side > 0 else self.units.above
        if self.units.agree:
            # Beta(1, n), the weight of the unseen unit: the rule of three.
            return room * -math.expm1(math.log(tail) / len(self.scaled))
        z = -float(special.ndtri(tail))
        student = -float(special.stdtrit(self.degrees, tail))
        reach = student * self.standard_error
        if not math.isfinite(room) or z <= 0:
            return reach
        values = side * self._stretch(tail) * self.scaled
        return max(reach, dirichlet_reach(values, room, self._unseen(side, room), z))


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


def unseen_weight(deviations: Floats, room: float) -> float:
    """The shape of the unseen unit's weight, from the jitter of the units seen.

    The jitter is the sum's own standard deviation in units of ``room``, without the units that lie
    beyond half of it: those are the rare changes, not what hides them. The values keep the error
    below 5.6% at 5% in the worst case of normal jitter and Poisson losses of any size up to
    ``room`` (computed on a grid of both; half the range needs half a unit, whatever hides it).
    """
    small = deviations[np.abs(deviations) <= room / 2]
    jitter = math.sqrt(float((small**2).sum())) / room
    if jitter < 1.5:
        return max(0.5, 1 - 0.7 * jitter)
    return 0.75 / jitter


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
