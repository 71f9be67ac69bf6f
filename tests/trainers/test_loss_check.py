"""A checkpoint's own loss is the trainer's, on every architecture (benchmarks/loss_check.py)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests import benchmark_modules

matrix = benchmark_modules.load("loss_check")

#: Some of each: ways to a loss, adapters, merges, and architectures with something of their own.
SUBSET = [
    ("lora on the embedding, merged", "llama"),
    ("full", "ModernBertDecoder"),
    ("dpo", "MPT"),
    ("orpo", "gpt2"),
    ("qlora", "qwen3"),
    ("merge", "gemma3"),
]
MORE = [
    *[(trainer, "llama") for trainer in matrix.TRAINERS],
    *[("lora, merged", architecture) for architecture in matrix.ARCHITECTURES],
]


def cell(trainer: str, architecture: str, folder: Path) -> Any:
    start = matrix.base(architecture, folder / "base")
    others = {n: matrix.base(architecture, folder / n, seed) for n, seed in (("a", 1), ("b", 2))}
    (folder / "cell").mkdir()
    return matrix.carry_out(trainer, architecture, start, others, folder / "cell")


@pytest.mark.parametrize(("trainer", "architecture"), SUBSET)
def test_what_is_stored_is_what_was_trained(
    trainer: str, architecture: str, tmp_path: Path
) -> None:
    done = cell(trainer, architecture, tmp_path)
    assert not done.refusal
    assert "as trained" in done.loss


@pytest.mark.slow
@pytest.mark.parametrize(("trainer", "architecture"), MORE)
def test_or_it_is_refused_in_one_line(trainer: str, architecture: str, tmp_path: Path) -> None:
    done = cell(trainer, architecture, tmp_path)
    assert done.short != "fault", done.refusal
