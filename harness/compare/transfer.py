"""Backward transfer: what a fine-tune did to the tasks that it should leave alone, on average."""

from __future__ import annotations

import math
from collections.abc import Sequence

from steelyard.harness.records import RETENTION, BackwardTransfer, Delta


def backward_transfer(deltas: Sequence[Delta]) -> BackwardTransfer | None:
    """The mean change of the primary 0/1 metrics of the retention tasks.

    Formula: BWT of Lopez-Paz and Ranzato 2017, for one step of training. Half the interval's width
    is the root of the sum of the tasks' squared half widths, over their number: tasks are taken as
    independent and their intervals as symmetric.
    """
    changes = [
        (d.task, d.delta, d.low, d.high)
        for d in deltas
        if d.family == RETENTION and d.primary and d.kind == "accuracy" and d.delta is not None
    ]
    if not changes:
        return None
    tasks = tuple(task for task, *_ in changes)
    value = math.fsum(delta for _, delta, _, _ in changes) / len(changes)
    halves = [(high - low) / 2 for *_, low, high in changes if low is not None and high is not None]
    if len(halves) < len(changes):
        return BackwardTransfer(value=value, tasks=tasks)
    half = math.hypot(*halves) / len(changes)
    return BackwardTransfer(value=value, low=value - half, high=value + half, tasks=tasks)
