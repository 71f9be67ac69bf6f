"""KTO's distance to the reference is that of other rows' answers, in a last batch of one too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from steelyard.harness.records import Checkpoint
from tests.trainers import tiny_jobs


@pytest.mark.parametrize("rows", [8, 9, 11])
def test_no_row_is_measured_against_its_own_answer(
    base: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    # TRL 1.16 alone pairs the ninth of nine rows with itself at a batch size of four; it refuses a
    # batch size of one for that reason (huggingface/trl #1911, #2554).
    from trl import KTOTrainer

    seen: list[list[bool]] = []
    train = KTOTrainer.train

    def look(self: Any, *args: Any, **options: Any) -> Any:
        seen.append(
            [row["completion_ids"] == row["KL_completion_ids"] for row in self.train_dataset]
        )
        return train(self, *args, **options)

    monkeypatch.setattr(KTOTrainer, "train", look)
    answers = [
        {
            "prompt": f"who lives in the {tiny_jobs.WORDS[i % 7]} ? answer :",
            "completion": f" the {tiny_jobs.WORDS[i % 7]}{' .' * (1 + i)}",
            "label": i % 2 == 0,
        }
        for i in range(rows)
    ]
    data = tiny_jobs.write_rows(tmp_path / "labelled.jsonl", answers)
    tiny_jobs.train("kto", base, tmp_path / "kto", data=data, batch_size=4, steps=1)
    assert seen == [[False] * rows]
