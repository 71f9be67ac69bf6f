"""A reward function that gives no number, or an infinite one: counted, or refused, at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from steelyard.harness.errors import TrainingError
from steelyard.harness.records import Checkpoint
from tests.trainers import tiny_jobs

FAST: dict[str, Any] = {"batch_size": 8, "generations": 4, "completion_length": 4, "steps": 1}


def often_missing(completions: Sequence[str], **_: object) -> list[float | None]:
    """Two numbers in each group of four, a NaN and a None."""
    return [(1.0, 3.0, math.nan, None)[place % 4] for place in range(len(completions))]


def infinite(completions: Sequence[str], **_: object) -> list[float]:
    """As a logarithm of a probability of zero would be."""
    return [-math.inf if place % 4 == 0 else 1.0 for place in range(len(completions))]


async def awaited(completions: Sequence[str], **_: object) -> list[float]:
    """TRL awaits a coroutine itself."""
    return [float(place % 2) for place in range(len(completions))]


def trained(base: Checkpoint, folder: Path, function: str) -> Checkpoint:
    rewards = [{"reward": "function", "name": f"{__name__}:{function}"}]
    return tiny_jobs.train("grpo", base, folder, rewards=rewards, **FAST)


def test_completions_without_a_reward_are_counted_and_noted(
    base: Checkpoint, tmp_path: Path
) -> None:
    tuned = trained(base, tmp_path / "a", "often_missing")
    assert tuned.manifest.loss_curve[0].metrics["reward"] == 2.0  # not (1 + 3) / 4
    note = "'often_missing' gave no reward for 4 of 8 completions: they count for nothing"
    assert note in tuned.manifest.notes


def test_an_infinite_reward_is_refused_before_it_moves_a_weight(
    base: Checkpoint, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match="infinite' gave -inf"):
        trained(base, tmp_path / "a", "infinite")


def test_a_coroutine_is_left_to_trl(base: Checkpoint, tmp_path: Path) -> None:
    tuned = trained(base, tmp_path / "a", "awaited")
    assert tuned.manifest.loss_curve[0].metrics["reward"] == 0.5
