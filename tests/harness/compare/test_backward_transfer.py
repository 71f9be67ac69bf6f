"""Backward transfer: the mean change of the tasks that a fine-tune should leave alone."""

from __future__ import annotations

import pytest

from steelyard.harness.compare.transfer import backward_transfer
from steelyard.harness.records import Delta, Kind


def delta(task: str, change: float, half: float | None, family: str, kind: Kind) -> Delta:
    """A change with half its interval's width."""
    return Delta(
        task=task, metric="acc", family=family, kind=kind, primary=True, higher_is_better=True,
        baseline=0.5, candidate=0.5 + change, delta=change,
        low=None if half is None else change - half, high=None if half is None else change + half,
    )  # fmt: skip


def test_it_is_the_mean_change_with_the_tasks_taken_as_independent() -> None:
    found = backward_transfer(
        [
            delta("sums", -0.10, 0.03, "retention", "accuracy"),
            delta("known", 0.02, 0.04, "retention", "accuracy"),
            delta("new", 0.50, 0.01, "quality", "accuracy"),
            delta("text", 3.00, 1.00, "retention", "perplexity"),
        ]
    )
    assert found is not None
    assert found.tasks == ("sums", "known")
    assert (found.value, found.low, found.high) == pytest.approx((-0.04, -0.065, -0.015))


def test_without_a_retention_task_it_is_missing_and_not_zero() -> None:
    assert backward_transfer([delta("new", 0.5, 0.01, "quality", "accuracy")]) is None


def test_without_every_interval_it_has_none() -> None:
    found = backward_transfer(
        [
            delta("sums", -0.1, 0.03, "retention", "accuracy"),
            delta("known", 0.1, None, "retention", "accuracy"),
        ]
    )
    assert found is not None
    assert (found.low, found.high) == (None, None)
