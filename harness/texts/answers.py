"""Short answers compared as SQuAD compares them, in any script."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

from steelyard.harness.texts.spelling import caseless, without_punctuation
from steelyard.harness.texts.splitting import split_unspaced

#: How answers compare, in a score's signature; another name where they compare otherwise.
UNICODE_ANSWERS = "unicode-2"
_ARTICLES = re.compile(r"\b(a|an|the)\b")


def normalised_answer(text: str) -> str:
    """Lower case without punctuation, articles and surplus space.

    [Rajpurkar et al. 2016, arXiv 1606.05250], with hyphens for spaces; on ASCII text nothing else.
    Elsewhere it is the caseless spelling of ``harness/texts``, without any script's punctuation.
    """
    return " ".join(_ARTICLES.sub(" ", _bare(text)).split())


def answer_key(text: str) -> str:
    """What two equal answers share: the normalised text, or an article that is all there is.

    Vitamin "A" is an answer. Empty for a text that says nothing.
    """
    return normalised_answer(text) or " ".join(_bare(text).split())


def answer_tokens(text: str) -> list[str]:
    """The tokens of SQuAD's F1; characters where the script has no spaces, as in MLQA.

    [Lewis et al. 2020, arXiv 1910.07475].
    """
    return [token for word in answer_key(text).split() for token in split_unspaced(word)]


def token_f1(answer: str, reference: str) -> float | None:
    """F1 of the tokens that answer and reference share; None where the reference has none."""
    own, right = Counter(answer_tokens(answer)), Counter(answer_tokens(reference))
    if not right:
        return None
    shared = (own & right).total()
    return 2 * shared / (own.total() + right.total())


def _bare(text: str) -> str:
    return without_punctuation(_without_dashes(caseless(text)))


def _without_dashes(text: str) -> str:
    if text.isascii():
        return text.replace("-", " ")
    return "".join(" " if unicodedata.category(letter) == "Pd" else letter for letter in text)
