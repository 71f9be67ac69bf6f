"""What cutting rows to ``max_length`` tokens would wipe out, counted before a model is loaded."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from steelyard.harness.checkpoints import open_tokenizer
from steelyard.harness.environment import quiet
from steelyard.harness.errors import DataError
from steelyard.harness.experiment import Candidate, Message, Row, read_rows, roles_for

#: Rows that are looked at, spread evenly over a larger file: counting must not cost minutes.
ROWS_AT_MOST = 2000
_ANSWERS = ("completion", "chosen", "rejected")


def lengths_checked(candidate: Candidate, tokenizer_folder: Path) -> Mapping[str, str]:
    """How many rows leave an answer whole, cut, or wiped out, for the manifest.

    Of a chat it is the last answer. Nothing is said of packed rows, of methods without data or
    length limit, and of those that sample their answers themselves.

    Raises:
        DataError: in every row that was looked at the prompt alone fills ``max_length``.
    """
    trainer = candidate.trainer.inner
    longest = trainer.longest_row
    if longest is None or not trainer.cuts_answers or not candidate.data:
        return {}
    rows = [
        row
        for source in candidate.data
        for row in read_rows(source, roles_for(source, trainer.data_choices()))
    ]
    looked_at = rows[:: -(-len(rows) // ROWS_AT_MOST)]
    lengths = [pair for pair in _lengths(looked_at, tokenizer_folder) if pair is not None]
    wiped = sum(prompt >= longest for prompt, _ in lengths)
    cut = sum(prompt < longest < whole for prompt, whole in lengths)
    if lengths and wiped == len(lengths):
        raise DataError(
            f"in every row the prompt alone fills max_length={longest}: nothing is left to learn",
            file=candidate.data[0].path,
            fix="raise max_length, or shorten the prompts",
        )
    if not wiped and not cut:
        return {}
    return {
        "row lengths": f"of {len(lengths)} rows looked at, max_length={longest} cuts the answer "
        f"in {cut} and leaves none in {wiped}"
    }


def _lengths(rows: Sequence[Row], folder: Path) -> list[tuple[int, int] | None]:
    """(prompt, prompt with its longest answer) in tokens; None for a chat without a template."""
    with quiet():
        tokenizer: Any = open_tokenizer(folder)

        def count(text: Sequence[Message] | str, *, asked: bool = False, tools: Any = None) -> int:
            if isinstance(text, str):
                return len(tokenizer(text).input_ids)
            options = {"add_generation_prompt": asked, "tools": tools, "return_dict": False}
            return len(tokenizer.apply_chat_template(text, **options))

        return [_token_counts(row, count, bool(tokenizer.chat_template)) for row in rows]


def _token_counts(
    row: Row, count: Callable[..., int], has_template: bool
) -> tuple[int, int] | None:
    if "messages" in row:  # its last answer: what is cut off first
        last = max(at for at, m in enumerate(row["messages"]) if m["role"] == "assistant")
        prompt, answers = row["messages"][:last], [row["messages"][last : last + 1]]
    else:
        prompt, answers = row.get("prompt", ""), [row[role] for role in _ANSWERS if role in row]
    if not answers:
        return None
    if not any(isinstance(value, list) for value in (prompt, *answers)):
        return count(prompt), max(count(prompt + answer) for answer in answers)
    if not has_template:
        return None
    tools = json.loads(row["tools"]) if "tools" in row else None
    prompt = prompt or []  # chosen and rejected hold it
    try:
        asked = count(prompt, asked=True, tools=tools) if prompt else 0
        return asked, max(count([*prompt, *answer], tools=tools) for answer in answers)
    except Exception:  # a template that refuses the turns says so, by row, when they are trained
        return None
