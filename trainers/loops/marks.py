"""Rows of plain texts that hold a mark of the tokenizer's own, such as ``</s>``.

The tokenizer reads the mark and not its letters: the model learns to end in the midst of an
answer. A text that a chat template has written is full of marks, and rightly, so it is said and not
refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from steelyard.harness.checkpoints import open_tokenizer, own_marks_pattern, tokenizer_folder
from steelyard.harness.environment import quiet
from steelyard.harness.experiment import Row
from steelyard.harness.plugins import TrainJob

_TEXTS = ("prompt", "completion", "chosen", "rejected", "text")
#: Something in brackets, without which no tokenizer need be loaded.
_IN_BRACKETS = re.compile(r"[<\[{|(]\S[^>\]}|)\n]{0,60}[>\]}|)]")


def marked(rows: Sequence[Row], job: TrainJob) -> list[str]:
    """A note on how many rows hold a mark, beside a BOS that begins and an EOS that ends a text."""
    if not any(_IN_BRACKETS.search(text) for row in rows for text in _texts(row)):
        return []
    folder = tokenizer_folder(job.start.folder, job.start.weights_folder)
    with quiet():
        tokenizer = open_tokenizer(folder, job.start.weights_folder)
    marks = own_marks_pattern(tokenizer)
    if marks is None:
        return []
    begin, end = tokenizer.bos_token or "", tokenizer.eos_token or ""
    count, first = 0, ""
    for row in rows:
        texts = (text.removeprefix(begin).removesuffix(end) for text in _texts(row))
        mark = next((seen[0] for text in texts if (seen := marks.search(text))), None)
        count += mark is not None
        first = first or mark or ""
    if not count:
        return []
    return [
        f"{count} of {len(rows)} training rows hold a mark of the tokenizer's own within a text, "
        f"such as '{first}': it is learnt as the mark, not as these letters"
    ]


def _texts(row: Row) -> list[str]:
    return [text for name in _TEXTS if isinstance(text := row.get(name), str)]
