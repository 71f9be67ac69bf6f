"""The word-level difference of two answers, by difflib."""

from __future__ import annotations

import difflib
import re

from steelyard.reports.document import Span

#: Longer answers are cut, because a page is read by people; the cut is said.
MAX_CHARACTERS = 2000
#: A number is one word, its sign and decimals included.
_WORDS = re.compile(r"\s+|[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?|\w+|[^\w\s]")


def shortened(text: str, limit: int = MAX_CHARACTERS) -> str:
    """At most ``limit`` characters, and how many were left out."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]} … [{len(text) - limit:,} more characters]"


def shortened_start(text: str, limit: int = MAX_CHARACTERS) -> str:
    """The last ``limit`` characters: of a few-shot prompt the end is the question."""
    if len(text) <= limit:
        return text
    return f"[{len(text) - limit:,} earlier characters] … {text[-limit:]}"


def word_difference(before: str, after: str) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    """Both answers as spans that are common, removed or added; joined they give the answers
    without their outer white space.

    difflib's ratcliff-obershelp matching is quadratic at worst, hence the cut at
    ``MAX_CHARACTERS`` before it.
    """
    left, right = _split_words(before), _split_words(after)
    matcher = difflib.SequenceMatcher(None, left, right, autojunk=False)
    removed: list[Span] = []
    added: list[Span] = []
    for tag, a0, a1, b0, b1 in matcher.get_opcodes():
        if a1 > a0:
            change = "same" if tag == "equal" else "removed"
            removed.append(Span(change=change, text="".join(left[a0:a1])))
        if b1 > b0:
            change = "same" if tag == "equal" else "added"
            added.append(Span(change=change, text="".join(right[b0:b1])))
    return tuple(removed), tuple(added)


def _split_words(text: str) -> list[str]:
    return _WORDS.findall(shortened(text.strip()))
