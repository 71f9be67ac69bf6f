"""Which differences may be called better or worse, of all that one comparison asks.

Forty equal candidates on twenty tasks are eight hundred questions: at .05 each, two dozen
candidates are "better somewhere". A word is said only where it survives the correction over the
whole comparison, whatever part of it a page shows, so that at most one comparison in twenty of
equal models holds any word at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from scipy.stats import false_discovery_control

from steelyard.harness.records import Delta, DeltaVerdict

#: Two-sided, over all questions of one comparison.
LEVEL = 0.05

Correction = Callable[[Sequence[float]], Sequence[float]]


def adjusted(candidates: Sequence[Sequence[Delta]]) -> list[tuple[Delta, ...]]:
    """The metrics of all candidates of one comparison, with ``p_adjusted`` and the word it allows.

    The primary metrics of all candidates are one family: Holm (1979, Scand. J. Statist. 6:65-70).
    Another metric of a task is looked at where the task's primary one was called: its p-value is
    Holm's over all such metrics, and no less than that of the primary one (a gatekeeper: Maurer,
    Hothorn and Lehmacher 1995). A task without a tested primary metric asks with all it has.
    """
    flat = [delta for deltas in candidates for delta in deltas]
    owner = [i for i, deltas in enumerate(candidates) for _ in deltas]
    tested = [i for i, delta in enumerate(flat) if delta.p_value is not None]
    leads = [lead for deltas in candidates for lead in _leads(deltas)]
    first = [i for i in tested if leads[i]]
    second = [i for i in tested if not leads[i]]
    p_values = _corrected(flat, first, holm)
    keepers: dict[tuple[int, str], float] = {}
    for i in first:
        key = owner[i], flat[i].task
        keepers[key] = min(p_values[i], keepers.get(key, 1.0))
    for i, p_value in _corrected(flat, second, holm).items():
        p_values[i] = max(p_value, keepers[owner[i], flat[i].task])
    return _regrouped(flat, owner, p_values, len(candidates))


def leading(deltas: Sequence[Delta]) -> list[Delta]:
    """The tested metrics that lead their task: the primary ones, or all of a task without one."""
    return [delta for delta, lead in zip(deltas, _leads(deltas), strict=True) if lead]


def _leads(deltas: Sequence[Delta]) -> list[bool]:
    """Of each metric of one candidate, whether it is tested and leads its task."""
    led = {delta.task for delta in deltas if delta.primary and delta.p_value is not None}
    return [d.p_value is not None and (d.primary or d.task not in led) for d in deltas]


def adjusted_slices(candidates: Sequence[Sequence[Delta]]) -> list[tuple[Delta, ...]]:
    """``p_adjusted`` over the exploratory slices of all candidates: Benjamini-Hochberg."""
    flat = [delta for deltas in candidates for delta in deltas]
    owner = [i for i, deltas in enumerate(candidates) for _ in deltas]
    tested = [i for i, delta in enumerate(flat) if delta.p_value is not None]
    p_values = _corrected(flat, tested, false_discovery_control)
    return _regrouped(flat, owner, p_values, len(candidates))


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order of ``p_values``."""
    # statsmodels' multipletests collects garbage at every call, which fifty comparisons in one
    # process pay for with seconds.
    order = np.argsort(p_values)
    raised = np.asarray(p_values)[order] * np.arange(len(p_values), 0, -1)
    adjusted_values = np.empty(len(p_values))
    adjusted_values[order] = np.minimum(np.maximum.accumulate(raised), 1.0)
    return [float(value) for value in adjusted_values]


def _corrected(flat: Sequence[Delta], family: Sequence[int], how: Correction) -> dict[int, float]:
    if not family:
        return {}
    p_values = [p for i in family if (p := flat[i].p_value) is not None]
    return {i: float(p) for i, p in zip(family, how(p_values), strict=True)}


def _regrouped(
    flat: Iterable[Delta], owner: Sequence[int], p_values: dict[int, float], count: int
) -> list[tuple[Delta, ...]]:
    groups: list[list[Delta]] = [[] for _ in range(count)]
    for i, delta in enumerate(flat):
        p_value = p_values.get(i)
        if p_value is not None:
            word = _word(delta, p_value)
            delta = delta.model_copy(update={"p_adjusted": p_value, "verdict": word})
        groups[owner[i]].append(delta)
    return [tuple(group) for group in groups]


def _word(delta: Delta, p_value: float) -> DeltaVerdict:
    if delta.verdict == "identical":
        return "identical"
    if p_value > LEVEL or not delta.delta:
        return "inconclusive"
    return "better" if delta.delta > 0 else "worse"
