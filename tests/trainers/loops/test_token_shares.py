"""One optimizer step over eight rows is the same step in one forward pass and in several."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from steelyard.harness.checkpoints import load_model
from steelyard.harness.plugins.protocols import DataSource
from steelyard.harness.records import Checkpoint
from tests.trainers import tiny_jobs


def uneven(folder: Path) -> DataSource:
    """Preferences whose chosen answers have from one to eleven words."""
    draw = random.Random(2)

    def words(count: int) -> str:
        return "".join(f" {draw.choice(tiny_jobs.WORDS)}" for _ in range(count))

    rows = [
        {
            "prompt": "who lives in the tower ? answer :",
            "chosen": f"{words(1 + i % 11)} .",
            "rejected": f"{words(1 + 3 * i % 7)} ?",
        }
        for i in range(16)
    ]
    return tiny_jobs.write_rows(folder / "uneven.jsonl", rows)


def trained(name: str, base: Checkpoint, folder: Path, **options: Any) -> tuple[Any, list[float]]:
    """Weights after two steps, and the losses."""
    tuned = tiny_jobs.train(
        name,
        base,
        folder,
        data=uneven(folder.parent),
        steps=2,
        learning_rate=1e-3,
        warmup_ratio=0.0,
        scheduler="constant",
        **options,
    )
    model, _ = load_model(tuned)
    return model.state_dict(), [point.loss for point in tuned.manifest.loss_curve]


@pytest.mark.parametrize(("name", "options"), [("orpo", {}), ("dpo", {"sft_weight": 1.0})])
def test_accumulated_passes_weigh_as_many_tokens_as_they_hold(
    base: Checkpoint, tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    # A mean of means is another loss: by TRL 1.16's ORPO the two trainings ended .0038 apart, and
    # neither had moved a weight by more than .002.
    whole, losses = trained(name, base, tmp_path / "whole", batch_size=8, **options)
    parts, again = trained(
        name, base, tmp_path / "parts", batch_size=2, gradient_accumulation=4, **options
    )
    assert again == pytest.approx(losses, rel=1e-5)
    apart = max(float((whole[key] - parts[key]).abs().max()) for key in whole)
    assert apart < 5e-5, "two steps of AdamW move each weight by up to .002"
