"""Tiny jobs for trainers: a random Llama, a few rows, a few steps."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from steelyard.harness.checkpoints import open_base
from steelyard.harness.plugins.names import load_plugin
from steelyard.harness.plugins.protocols import DataSource, TrainJob
from steelyard.harness.records import Checkpoint
from tests.harness.scoring import tiny

WORDS = ("tower", "sea", "fox", "dog", "man", "answer", "model")


def save_base(folder: Path, **changes: Any) -> Checkpoint:
    """A tiny random Llama with its tokenizer, opened."""
    return open_base(str(tiny.save_llama(folder, initializer_range=0.1, **changes)))


def write_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> DataSource:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return DataSource(path.stem, path)


def supervised(folder: Path, n: int = 48) -> DataSource:
    draw = random.Random(0)
    rows = [
        {
            "prompt": f"who lives in the {draw.choice(WORDS)} ? answer :",
            "completion": f" the {draw.choice(WORDS)} .",
        }
        for _ in range(n)
    ]
    return write_rows(folder / "supervised.jsonl", rows)


def preferences(folder: Path, n: int = 48) -> DataSource:
    draw = random.Random(1)
    rows = []
    for _ in range(n):
        chosen, rejected = draw.sample(WORDS, 2)
        rows.append(
            {
                "prompt": f"who lives in the {draw.choice(WORDS)} ? answer :",
                "chosen": f" the {chosen} .",
                "rejected": f" the {rejected} .",
            }
        )
    return write_rows(folder / "preferences.jsonl", rows)


def train(
    name: str,
    start: Checkpoint,
    folder: Path,
    *,
    data: DataSource | None = None,
    seed: int = 0,
    state_folder: Path | None = None,
    progress: Any = None,
    beside: Mapping[str, Checkpoint] | None = None,
    **options: Any,
) -> Checkpoint:
    """Train by the registered name in ``folder``, which is made."""
    trainer_class = load_plugin("trainers", name)
    folder.mkdir(parents=True)
    if data is None and trainer_class.data_roles:
        write = preferences if "chosen" in trainer_class.data_roles else supervised
        data = write(folder.parent)
    job = TrainJob(
        candidate=folder.name,
        start=start,
        data=(data,) if data else (),
        seed=seed,
        folder=folder,
        base_name="tiny",
        base_digest=start.manifest.digest,
        sources=beside or {},
        state_folder=state_folder,
        **({"progress": progress} if progress else {}),
    )
    checkpoint: Checkpoint = trainer_class(**options).train(job)
    return checkpoint


def logits(model: Any) -> Any:
    import torch

    with torch.inference_mode():
        return model(torch.arange(3, 35)[None]).logits
