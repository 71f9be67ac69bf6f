"""p-values adjusted for how many questions were asked of one comparison."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import false_discovery_control

from steelyard.harness.records import Delta


def adjusted(deltas: Sequence[Delta]) -> tuple[Delta, ...]:
    """``p_adjusted`` for the metrics of a comparison, in two families.

    Primary metrics are the questions that were asked: Holm, so a single false alarm among them has
    at most the stated rate. The rest is exploration: Benjamini-Hochberg.
    """
    primary = [i for i, delta in enumerate(deltas) if delta.primary]
    rest = [i for i, delta in enumerate(deltas) if not delta.primary]
    return _replaced(_replaced(tuple(deltas), primary, "holm"), rest, "bh")


def adjusted_slices(slices: Sequence[Delta]) -> tuple[Delta, ...]:
    """``p_adjusted`` over exploratory slices: Benjamini-Hochberg."""
    return _replaced(tuple(slices), list(range(len(slices))), "bh")


def _replaced(deltas: tuple[Delta, ...], family: list[int], how: str) -> tuple[Delta, ...]:
    tested = [i for i in family if deltas[i].p_value is not None]
    if not tested:
        return deltas
    p_values = [p for i in tested if (p := deltas[i].p_value) is not None]
    adjusted = _holm(p_values) if how == "holm" else false_discovery_control(p_values)
    result = list(deltas)
    for i, p_value in zip(tested, adjusted, strict=True):
        result[i] = deltas[i].model_copy(update={"p_adjusted": float(p_value)})
    return tuple(result)


def _holm(p_values: Sequence[float]) -> list[float]:
    # statsmodels' multipletests collects garbage at every call, which fifty comparisons in one
    # process pay for with seconds.
    order = np.argsort(p_values)
    raised = np.asarray(p_values)[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(raised), 1.0)
    return [float(value) for value in adjusted]
