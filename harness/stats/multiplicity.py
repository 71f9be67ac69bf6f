"""Many tests at once: Holm over rules, Benjamini-Hochberg over exploratory slices (statsmodels).

Holm bounds the chance of any false alarm; Benjamini-Hochberg the expected share of false ones among
the alarms, and the chance of any while all slices are equal.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats
from statsmodels.stats.multitest import multipletests

from steelyard.harness.errors import StatisticsError
from steelyard.harness.stats.paired import PairedResult, paired_test
from steelyard.harness.stats.proportions import flips, tango_score
from steelyard.harness.stats.rows import Floats, check_pair
from steelyard.harness.stats.scores import Aggregate

Side = Literal["worse", "better"]
Slices = Sequence[Hashable] | NDArray[np.generic] | Mapping[str, ArrayLike]


def holm(p_values: ArrayLike) -> Floats:
    """Holm-adjusted p-values, in the order given."""
    return _adjusted(p_values, "holm")


def benjamini_hochberg(p_values: ArrayLike) -> Floats:
    """Benjamini-Hochberg-adjusted p-values, in the order given."""
    return _adjusted(p_values, "fdr_bh")


def _adjusted(p_values: ArrayLike, method: str) -> Floats:
    values = np.asarray(p_values, dtype=np.float64).reshape(-1)
    if not ((values >= 0) & (values <= 1)).all():
        raise StatisticsError("p-values must lie between 0 and 1")
    if not len(values):
        return values
    result: Floats = multipletests(values, method=method)[1]
    return result


@dataclass(frozen=True)
class SliceResult:
    """One slice's paired comparison and what it means among all slices."""

    name: Hashable
    result: PairedResult
    p_value: float
    """One-sided: worse than -margin (or better than 0)."""
    p_adjusted: float
    flagged: bool


def slice_tests(
    baseline: ArrayLike,
    candidate: ArrayLike,
    slices: Slices,
    *,
    kind: str,
    side: Side = "worse",
    margin: float = 0.0,
    alpha: float = 0.05,
    adjust: Literal["bh", "holm"] = "bh",
    aggregate: Aggregate | None = None,
    higher_is_better: bool | None = None,
    draws: int = 10_000,
    seed: int = 0,
) -> list[SliceResult]:
    """A one-sided paired test in every slice, adjusted for their number, most suspicious first.

    ``slices`` is one label a sample, or names with boolean masks or indices (they may overlap).
    ``side="worse"`` asks for drops beyond ``margin``, "better" for gains. 0/1 rows use the
    binomial (sign) test of the flips with its mid-p-value at margin 0 (Fagerland, Lydersen and
    Laake 2013, BMC Medical Research Methodology 13:91) and Tango's score test beyond; other kinds
    half the two-sided randomisation p-value, or, beyond 0, the normal score of the interval.

    Raises ``StatisticsError`` as ``paired_test`` does, and for empty slices.
    """
    before, after = check_pair(baseline, candidate, kind)
    members = _members(slices, len(before))
    results, p_values = [], []
    for rows in members.values():
        result = paired_test(
            before[rows],
            after[rows],
            kind=kind,
            margin=margin,
            alpha=alpha,
            aggregate=aggregate,
            higher_is_better=higher_is_better,
            draws=draws,
            seed=seed,
        )
        results.append(result)
        if kind == "accuracy":
            pair = (before[rows], after[rows])
            old, new = pair if higher_is_better is not False else pair[::-1]
            p_values.append(_share_p_value(*flips(old, new), result.n, margin, side))
        else:
            p_values.append(_one_sided_p_value(result, margin, side))
    adjusted = (benjamini_hochberg if adjust == "bh" else holm)(p_values)
    slice_results = [
        SliceResult(name, result, p_value, float(corrected), bool(corrected < alpha))
        for name, result, p_value, corrected in zip(
            members, results, p_values, adjusted, strict=True
        )
    ]
    return sorted(slice_results, key=lambda each: (each.p_adjusted, each.p_value))


def _members(slices: Slices, n: int) -> dict[Hashable, NDArray[np.intp]]:
    if isinstance(slices, Mapping):
        chosen: dict[Hashable, NDArray[np.intp]] = {
            name: _indices(np.asarray(rows), n, name) for name, rows in slices.items()
        }
    else:
        labels = slices.tolist() if isinstance(slices, np.ndarray) else list(slices)
        if len(labels) != n:
            raise StatisticsError(f"{len(labels)} slice labels for {n} rows")
        lists: dict[Hashable, list[int]] = {}
        for index, label in enumerate(labels):
            lists.setdefault(label, []).append(index)
        chosen = {name: np.array(rows, dtype=np.intp) for name, rows in lists.items()}
    empty = [name for name, rows in chosen.items() if not len(rows)]
    if empty or not chosen:
        raise StatisticsError("a slice without samples", value=empty[0] if empty else None)
    return chosen


def _indices(rows: NDArray[np.bool_] | NDArray[np.intp], n: int, name: object) -> NDArray[np.intp]:
    if rows.dtype == bool:
        if rows.shape != (n,):
            raise StatisticsError(f"slice {name}: the mask has {rows.size} entries for {n} rows")
        return np.flatnonzero(rows)
    if rows.size and (rows.min() < 0 or rows.max() >= n):
        raise StatisticsError(f"slice {name}: an index outside 0..{n - 1}")
    return rows.astype(np.intp)


def _share_p_value(regressed: int, improved: int, n: int, margin: float, side: Side) -> float:
    if side == "worse" and margin > 0:
        return float(special.ndtr(tango_score(regressed, improved, n, -margin)))
    extreme, changed = (regressed if side == "worse" else improved), regressed + improved
    # Mid-p: the plain exact tail is so coarse on 60 items that the family's 5% shrinks to 0.5%.
    tail = stats.binom.sf(extreme - 1, changed, 0.5) - stats.binom.pmf(extreme, changed, 0.5) / 2
    return float(tail)


def _one_sided_p_value(result: PairedResult, margin: float, side: Side) -> float:
    towards = result.delta < 0 if side == "worse" else result.delta > 0
    if side == "worse" and margin > 0:
        if result.low is None or result.high is None or result.high == result.low:
            return 1.0
        # ``low`` and ``high`` are the 95% interval: half of it is 1.96 standard errors.
        standard_error = (result.high - result.low) / (2 * special.ndtri(0.975))
        return float(special.ndtr((result.delta + margin) / standard_error))
    return result.p_value / 2 if towards else 1 - result.p_value / 2
