"""Words of a text in any script, and whether its words stand apart.

Python's ``\\w`` takes no combining mark for a part of a word, so it cuts Hindi at every vowel sign,
and takes a whole Chinese or Thai sentence for one word. Here a word is a run of letters, marks and
digits; of a script that is written without spaces every character (with its marks) is one, as is
usual for ROUGE, F1 and BLEU there. On ASCII a word is a run of letters and digits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

from steelyard.harness.texts.spelling import caseless

if TYPE_CHECKING:
    from regex import Pattern

#: How these words are called in a score's signature; another name where they become others.
UNICODE_WORDS = "unicode-2"

_ASCII_WORD = re.compile(r"[a-z0-9]+")
#: Han, kana and bopomofo, Yi, and the scripts of South East Asia whose words only a dictionary
#: finds (UAX #14, class SA); Tibetan and Javanese are of the same kind.
_UNSPACED = (
    r"\p{Script_Extensions=Han}\p{Script_Extensions=Hiragana}\p{Script_Extensions=Katakana}"
    r"\p{Script_Extensions=Bopomofo}\p{Script=Yi}\p{Line_Break=SA}\p{Script=Tibetan}\p{Script=Javanese}"
)
#: Of two neighbours of such a script this share has a space in between where words were cut apart.
_CUT_APART = 0.15
#: From this share of all letters on a text counts as one of such a script.
_MOSTLY = 0.5


def words(text: str) -> list[str]:
    """The words of ``text`` in their caseless spelling, in order; digits are ASCII digits."""
    spelling = caseless(text)
    if spelling.isascii():
        return _ASCII_WORD.findall(spelling)
    tokens: list[str] = _patterns()[0].findall(spelling)
    return tokens


def split_unspaced(word: str) -> list[str]:
    """A word between spaces, cut into characters where its script has no spaces."""
    if word.isascii():
        return [word]
    parts: list[str] = _patterns()[2].findall(word)
    return parts


def is_unspaced(text: str) -> bool:
    """Whether at least half of the letters of ``text`` are of scripts without spaces."""
    if text.isascii():
        return False
    letters = sum(map(str.isalpha, text))
    return letters > 0 and len(_patterns()[1].findall(text)) >= _MOSTLY * letters


def written_without_spaces(texts: Iterable[str]) -> bool:
    """Whether ``texts`` are of such a script, and nobody has put spaces between their words."""
    close = apart = letters = unspaced = 0
    listed = list(texts)
    for text in listed if not all(map(str.isascii, listed)) else ():
        letters += sum(map(str.isalpha, text))
        if text.isascii():
            continue
        ends = list(_ends(text))
        unspaced += len(ends)
        close += sum(end == begin for (_, end), (begin, _) in pairwise(ends))
        apart += sum(text[end:begin].isspace() for (_, end), (begin, _) in pairwise(ends))
    mostly = unspaced > 0 and unspaced >= _MOSTLY * letters
    return mostly and apart <= _CUT_APART * (close + apart)


def _ends(text: str) -> Iterator[tuple[int, int]]:
    """Where each character of a script without spaces begins and ends."""
    return (match.span() for match in _patterns()[1].finditer(text))


@cache
def _patterns() -> tuple[Pattern[str], Pattern[str], Pattern[str]]:
    """Words; characters of scripts without spaces; both, with whatever else stands in a word."""
    import regex

    character = rf"(?=[{_UNSPACED}])[\p{{L}}\p{{N}}]\p{{M}}*"
    within = rf"(?:(?![{_UNSPACED}])[\p{{L}}\p{{M}}\p{{N}}])+"
    other = rf"(?:(?!(?=[{_UNSPACED}])[\p{{L}}\p{{N}}])\S)+"
    return (
        regex.compile(f"{character}|{within}"),
        regex.compile(character),
        regex.compile(f"{character}|{other}"),
    )
