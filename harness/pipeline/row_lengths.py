"""What cutting rows to ``max_length`` tokens would wipe out, counted before a model is loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from steelyard.harness.checkpoints import open_tokenizer
from steelyard.harness.environment import quiet
from steelyard.harness.errors import DataError
from steelyard.harness.experiment import Candidate, Row, read_rows, roles_for

#: Rows that are looked at, spread evenly over a larger file: counting must not cost minutes.
ROWS_AT_MOST = 2000
_ANSWERS = ("completion", "chosen", "rejected")


def lengths_checked(candidate: Candidate, tokenizer_folder: Path) -> Mapping[str, str]:
    """How many rows leave an answer whole, cut, or wiped out, for the manifest.

    Nothing is said of chat messages, of packed rows, of methods without data or length limit, and
    of those that sample their answers themselves.

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
    """(prompt, prompt with its longest answer) in tokens; None for chat messages."""
    with quiet():
        tokenizer: Any = open_tokenizer(folder)

        def count(text: str) -> int:
            return len(tokenizer(text).input_ids)

        return [_token_counts(row, count) for row in rows]


def _token_counts(row: Row, count: Callable[[str], int]) -> tuple[int, int] | None:
    answers = [row[role] for role in _ANSWERS if role in row]
    prompt = row.get("prompt", "")
    if not answers or not all(isinstance(value, str) for value in (prompt, *answers)):
        return None
    return count(prompt), max(count(prompt + answer) for answer in answers)
