"""A text's words as a copy is looked for by: rougher than what a score compares.

A copy may have lost its accents or hold HTML's entities. The sign between two numbers is a word of
its own, for ``3 + 4`` is not in data that say ``3 - 4``.
"""

from __future__ import annotations

import html
import re
import unicodedata

from steelyard.harness.texts import plain, words

SIGNS = frozenset("+-*/×÷^<>")
_LEFT = r"(?:(?<=[0-9)\]])|(?<=\b[A-Za-z]))"
_RIGHT = r"(?=[(\[]?-?(?:[0-9]|[A-Za-z]\b))"
#: A dash or a stroke counts between spaces alone: 2024-01-02 and 1990-95 are dates.
_SIGN = re.compile(rf"{_LEFT}(?:\s*([+*×÷^<>])\s*|\s+([-/])\s+){_RIGHT}")
#: Accents of Latin, Greek and Cyrillic letters; marks of other scripts make other letters.
_ACCENTS = re.compile("[\u0300-\u036f]+")


def searched_words(text: str) -> list[str]:
    """Words in order, with the signs between numbers and variables."""
    text = plain(html.unescape(text) if "&" in text else text)
    if not text.isascii():
        text = unicodedata.normalize("NFC", _ACCENTS.sub("", unicodedata.normalize("NFD", text)))
    found: list[str] = []
    begin = 0
    for sign in _SIGN.finditer(text):
        found += [*words(text[begin : sign.start()]), sign[1] or sign[2]]
        begin = sign.end()
    return found + words(text[begin:])
