"""Marks of the tokenizer's own in rows of plain texts are counted."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from steelyard.harness.experiment import Row
from steelyard.harness.plugins import TrainJob
from steelyard.harness.records import Checkpoint
from steelyard.trainers.loops.marks import marked


@pytest.mark.parametrize(
    ("rows", "count"),
    [
        (
            [
                {"prompt": "who ?", "completion": " the </s> fox"},
                {"prompt": "a", "completion": "b"},
            ],
            1,
        ),
        ([{"prompt": "who <pad> ?", "chosen": " the fox", "rejected": " the dog"}], 1),
        ([{"text": "<s>a page</s>"}, {"text": "a [list] of <b>words</b> (here)"}], 0),
        ([{"prompt": "<s>who ?", "completion": " the fox</s>"}], 0),
        ([{"text": "<s>one</s><s>two</s>"}], 1),
    ],
)
def test_rows_with_a_mark_within_a_text_are_counted(
    base: Checkpoint, tmp_path: Path, rows: list[dict[str, str]], count: int
) -> None:
    fields = {field.name: None for field in dataclasses.fields(TrainJob)}
    job = TrainJob(**fields | {"start": base, "data": ()})  # type: ignore[arg-type]
    notes = marked([Row(row) for row in rows], job)
    begins = [f"{count} of {len(rows)} training rows hold a mark"] if count else []
    assert [note[: len(begins[0])] if begins else note for note in notes] == begins
