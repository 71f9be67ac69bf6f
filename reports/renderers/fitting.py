"""Blocks within a number of bytes: long tables give rows, and what is cut is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from steelyard.reports.document import Block, Flips, Rules, Table

Draw = Callable[[Block], str]
#: No row of a table is drawn in less.
_ROW_BYTES = 8
_WORDS = {"error": "not comparable"}


def size(text: str) -> int:
    """Bytes of ``text`` in UTF-8, never fewer than the characters that GitHub counts."""
    return len(text.encode())


def fit(blocks: Sequence[Block], draw: Draw, room: int) -> tuple[list[str], int]:
    """The blocks drawn within ``room`` bytes, in order, and how many found no room at all.

    A table, a list of rules or of flips loses rows from its end before it is left out, and says how
    many; a later block may still fit where an earlier one did not.
    """
    drawn: list[str] = []
    left_out = 0
    for block in blocks:
        text = _shortened(block, draw, room)
        if text is None:
            left_out += 1
            continue
        drawn.append(text)
        room -= size(text) + 2
    return drawn, left_out


def _shortened(block: Block, draw: Draw, room: int) -> str | None:
    total = _length(block)
    most = min(total, max(room, 0) // _ROW_BYTES)
    if most == total:
        text = draw(block)
        if size(text) <= room:
            return text
    # The most rows that fit, by bisection: ``fewest`` fits, ``most`` does not.
    fewest, best = 0, None
    while most - fewest > 1:
        middle = (fewest + most) // 2
        text = f"{draw(_first(block, middle))}\n\n{_note(block, middle)}".rstrip()
        if size(text) <= room:
            fewest, best = middle, text
        else:
            most = middle
    return best


def _length(block: Block) -> int:
    if isinstance(block, Table):
        return len(block.rows)
    return len(block.items) if isinstance(block, Rules | Flips) else 0


def _first(block: Block, count: int) -> Block:
    if isinstance(block, Table):
        return block.model_copy(update={"rows": block.rows[:count]})
    assert isinstance(block, Rules | Flips)
    return block.model_copy(update={"items": block.items[:count]})


def _note(block: Block, count: int) -> str:
    if isinstance(block, Flips):
        # Drawn with its own "3 of 40": the total stays in the block.
        return ""
    total = _length(block)
    text = f"{count:,} of {total:,} rows shown; {total - count:,} left out for space"
    if isinstance(block, Rules):
        left = Counter(rule.outcome for rule in block.items[count:])
        text += ": " + ", ".join(f"{n:,} {_WORDS.get(name, name)}" for name, n in left.items())
    return f"*{text}.*"
