"""What a tokenizer puts around a text by itself: BOS, EOS, CLS and SEP, a post-processor's prefix.

Found by trying, not by reading ``add_bos_token`` or a post-processor: the tokens of a text with and
without them differ by what was put in front and behind.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from steelyard.harness.errors import CheckpointError

if TYPE_CHECKING:
    from tokenizers.processors import PostProcessor
    from transformers import PreTrainedTokenizerBase

#: Texts that are tried; a tokenizer of whole words may know none of them, and has its own.
_PROBES = ("a", "The answer is 1.", "0")


@dataclass(frozen=True)
class AddedTokens:
    """The tokens that a tokenizer puts in front of a text and behind it."""

    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        """Whether it puts any."""
        return bool(self.before or self.after)

    def put_in_front(self, tokens: list[int]) -> list[int]:
        """A text's own tokens behind what belongs in front; where it is there, it is not put again.

        A chat template or a document may have written it.
        """
        return tokens if self.starts(tokens) else [*self.before, *tokens]

    def put_around(self, tokens: list[int]) -> list[int]:
        """The same with what belongs behind."""
        tokens = self.put_in_front(tokens)
        after = list(self.after)
        ended = not after or tokens[len(tokens) - len(after) :] == after
        return tokens if ended else [*tokens, *after]

    def starts(self, tokens: Sequence[int]) -> bool:
        """Whether the tokens begin with all that belongs in front."""
        return tuple(tokens[: len(self.before)]) == self.before


def added_tokens(tokenizer: PreTrainedTokenizerBase) -> AddedTokens:
    """What the tokenizer puts around a text. Raises ``CheckpointError`` where it is not the same
    for every text.
    """
    pairs = [_encoded(tokenizer, text) for text in _texts(tokenizer)]
    additions = {around(whole, own) for whole, own in pairs if own}
    if len(additions) > 1 or None in additions:
        raise CheckpointError(
            "the tokenizer puts other special tokens around one text than around another",
            file=tokenizer.name_or_path or None,
            fix="give it a post-processor that only puts tokens in front and behind",
        )
    return additions.pop() or AddedTokens() if additions else AddedTokens()


#: In brackets all: some tokenizers pad with a plain "!", which is a word of everybody's.
_MARK = re.compile(r"[<\[{|(].+[>\]}|)]")


def own_marks(tokenizer: PreTrainedTokenizerBase) -> tuple[str, ...]:
    """Texts that the tokenizer reads as its own marks: the end of a turn, of a text, and others."""
    own = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
    # That of what it has no token for is read as that again.
    own.discard(tokenizer.unk_token)
    return tuple(sorted(mark for mark in own if _MARK.fullmatch(mark)))


def own_marks_pattern(tokenizer: PreTrainedTokenizerBase) -> re.Pattern[str] | None:
    """Finds the first of its own marks in a text; None where it has none."""
    marks = own_marks(tokenizer)
    return re.compile("|".join(map(re.escape, marks))) if marks else None


def without_end(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """The tokenizer, or a copy of it that puts nothing behind a text.

    For a model that continues texts: behind an EOS there is nothing to continue, and a trainer
    that ends its rows itself would end them twice.
    """
    added = added_tokens(tokenizer)
    if not added.after:
        return tokenizer
    open_ended = copy.deepcopy(tokenizer)
    backend = getattr(open_ended, "backend_tokenizer", None)
    if backend is not None:
        backend.post_processor = _in_front_only(added.before, tokenizer)
        return open_ended

    def build(first: list[int], second: list[int] | None = None) -> list[int]:
        return [*added.before, *first, *(second or [])]

    open_ended.build_inputs_with_special_tokens = build
    return open_ended


def _texts(tokenizer: PreTrainedTokenizerBase) -> Iterator[str]:
    yield from _PROBES
    special = set(tokenizer.all_special_tokens)
    yield from (word for word in list(tokenizer.get_vocab())[:8] if word not in special)


def _encoded(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[list[int], list[int]]:
    whole = tokenizer.encode(text, add_special_tokens=True, verbose=False)
    return whole, tokenizer.encode(text, add_special_tokens=False, verbose=False)


def around(whole: Sequence[int], own: Sequence[int]) -> AddedTokens | None:
    """What stands around a text's own tokens; None where they are no part of the whole."""
    for start in range(len(whole) - len(own) + 1):
        end = start + len(own)
        if list(whole[start:end]) == list(own):
            return AddedTokens(tuple(whole[:start]), tuple(whole[end:]))
    return None


def _in_front_only(before: Sequence[int], tokenizer: PreTrainedTokenizerBase) -> PostProcessor:
    """A post-processor that puts these tokens in front, by content: a token may hold a ``$``."""
    from tokenizers import processors

    words = [str(word) for word in tokenizer.convert_ids_to_tokens(list(before))]
    front: list[object] = [{"SpecialToken": {"id": word, "type_id": 0}} for word in words]
    first, second = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
    template = {
        "type": "TemplateProcessing",
        "single": [*front, first],
        "pair": [*front, first, second],
        "special_tokens": {
            word: {"id": word, "ids": [token], "tokens": [word]}
            for word, token in zip(words, before, strict=True)
        },
    }
    processor = processors.TemplateProcessing(single="$A", pair="$A $B")
    processor.__setstate__(json.dumps(template).encode())
    return processor
