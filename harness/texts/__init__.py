"""A text's one plain spelling, its words in any script, and whether spaces part them."""

from steelyard.harness.texts.answers import (
    UNICODE_ANSWERS,
    answer_key,
    answer_tokens,
    normalised_answer,
    token_f1,
)
from steelyard.harness.texts.patterns import chosen, matches
from steelyard.harness.texts.spelling import caseless, in_the_form_of, plain, without_punctuation
from steelyard.harness.texts.splitting import (
    UNICODE_WORDS,
    is_unspaced,
    split_unspaced,
    words,
    written_without_spaces,
)

__all__ = [
    "UNICODE_ANSWERS",
    "UNICODE_WORDS",
    "answer_key",
    "answer_tokens",
    "caseless",
    "chosen",
    "in_the_form_of",
    "is_unspaced",
    "matches",
    "normalised_answer",
    "plain",
    "split_unspaced",
    "token_f1",
    "without_punctuation",
    "words",
    "written_without_spaces",
]
