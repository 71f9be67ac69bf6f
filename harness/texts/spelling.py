"""One spelling of a text: what looks the same and means the same is the same string.

Two texts that Unicode calls canonically equivalent are one text (UAX #15), and so are full width
and ASCII forms, presentation forms and ligatures, no-break and ideographic spaces, curly and
straight quotes, decimal digits of any script, and texts that differ by marks of direction or
joining alone. Superscripts, fractions and circled numbers stay apart, where NFKC would make ``10²``
the number 102. On ASCII text nothing changes, so whatever is compared there compares as it always
did.
"""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import chain

#: Compatibility mappings that are another spelling of the same thing (UAX #44, Decomposition_Type).
_SPELLINGS = (
    "<wide>",
    "<narrow>",
    "<noBreak>",
    "<initial>",
    "<medial>",
    "<final>",
    "<isolated>",
    "<vertical>",
    "<compat>",
    "<font>",
)
#: Where letters have other spellings. In between lie ideographs, syllables, private use and old
#: scripts that have none; beyond, ideographs, tags and variation selectors.
_BLOCKS = (
    range(0x80, 0x3400),
    range(0xA000, 0xAC00),
    range(0xF900, 0x12000),
    range(0x16A00, 0x17000),
    range(0x1D000, 0x20000),
)
_VARIATION_SELECTORS = (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))
#: Marks that no reader sees and that are no format character: the grapheme joiner, Hangul fillers,
#: Mongolian selectors, and the tatweel, which only stretches an Arabic word.
_UNSEEN = (0x34F, 0x115F, 0x1160, 0x3164, 0xFFA0, *range(0x180B, 0x1810), 0x640)
#: Format characters that are seen: signs in front of Arabic, Syriac and Kaithi numbers.
_SEEN = frozenset((*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD))
#: Other characters that are typed for the ASCII one: quotes and apostrophes (Ukrainian's is a
#: letter to Unicode), Hebrew's geresh and gershayim, the minus sign, hyphens, and the wave dash,
#: which is a full-width tilde where Windows wrote the text.
_TYPED_FOR = {
    **dict.fromkeys((0x2018, 0x2019, 0x201A, 0x201B, 0x2BC, 0x5F3), "'"),
    **dict.fromkeys((0x201C, 0x201D, 0x201E, 0x201F, 0x5F4), '"'),
    **dict.fromkeys((0x2010, 0x2011, 0x2212), "-"),
    0x301C: "~",
}
#: Vowel signs that Arabic and Hebrew are usually written without (and signs of recitation): a word
#: with them is the word without, as it is in capitals. What makes another letter is none of them.
_VOWEL_SIGNS = dict.fromkeys(
    (
        *range(0x610, 0x61B),
        *range(0x64B, 0x653),
        *range(0x656, 0x660),
        0x670,
        *range(0x6D6, 0x6DD),
        *range(0x6DF, 0x6E5),
        0x6E7,
        0x6E8,
        *range(0x6EA, 0x6EE),
        *range(0x591, 0x5BE),
        0x5BF,
        0x5C1,
        0x5C2,
        0x5C4,
        0x5C5,
        0x5C7,
    )
)
_ASCII_PUNCTUATION = string.punctuation


def plain(text: str) -> str:
    """The one spelling of ``text``; case, punctuation and the number of spaces stay."""
    if text.isascii():
        return text
    return unicodedata.normalize("NFC", text.translate(_table()))


def caseless(text: str) -> str:
    """The plain spelling without case: ``lower()`` on ASCII, full case folding elsewhere.

    Without the vowel signs that Arabic and Hebrew may be written with, too: كِتَاب is كتاب.

    [Unicode, section 3.13, D145]: ``STRASSE`` is ``straße``. The dot that lower case leaves on a
    Turkish ``İ`` is dropped, so that it is an ``i`` as its lower case is written.
    """
    if text.isascii():
        return text.lower()
    folded = plain(plain(text).casefold().replace("i\u0307", "i"))
    return folded.translate(_VOWEL_SIGNS)


def without_punctuation(text: str) -> str:
    """``text`` without ASCII's punctuation and symbols, and without any other punctuation."""
    if text.isascii():
        return text.translate(_ascii_deletions())
    return "".join(
        letter
        for letter in text
        if letter not in _ASCII_PUNCTUATION and not unicodedata.category(letter).startswith("P")
    )


def in_the_form_of(references: Iterable[str], text: str) -> str:
    """``text`` composed or decomposed as all ``references`` are; as it is where they differ.

    For measures that compare code points: the references, and so a published score, stay untouched.
    """
    if text.isascii():
        return text
    listed = list(references)
    for form in ("NFC", "NFD"):
        if all(unicodedata.is_normalized(form, reference) for reference in listed):
            return unicodedata.normalize(form, text)
    return text


@cache
def _ascii_deletions() -> dict[int, int | None]:
    return str.maketrans("", "", _ASCII_PUNCTUATION)


@cache
def _table() -> dict[int, str | None]:
    """Code point -> what stands for it; None drops it. Made once, at the first text not ASCII."""
    unseen = dict.fromkeys((*_VARIATION_SELECTORS, *_UNSEEN))
    return {**dict(_respelt()), **unseen, **_TYPED_FOR}


def _respelt() -> Iterator[tuple[int, str | None]]:
    for code in chain.from_iterable(_BLOCKS):
        letter = chr(code)
        category = unicodedata.category(letter)
        if category == "Cf":
            if code not in _SEEN:
                yield code, None
        elif category == "Nd":
            yield code, str(unicodedata.decimal(letter))
        elif category in ("Zl", "Zp"):
            yield code, "\n"
        elif category == "Zs":
            yield code, " "
        else:
            mapping = unicodedata.decomposition(letter)
            # A spacing accent is a space with a mark on it: nothing is spelt so.
            if mapping.startswith(_SPELLINGS) and "> 0020 " not in mapping:
                yield code, unicodedata.normalize("NFKC", letter)
