"""Text to tokens, each distinct text once.

Rules that both ways of putting in special tokens share (``special_tokens``), or numbers differ:
trailing spaces of a context move to its continuation; a pair is split at the length of the
context's tokens; an empty context becomes what begins a text.

Requests that lm-eval would fail on are found here, before the model runs:

* a continuation that merges into the last token of its context (``"hello wor" + "ld"``) is scored
  from the first token that its text changes;
* an empty continuation has log-likelihood 0 and is greedy;
* a continuation longer than the window is an error that names the task.
"""

from __future__ import annotations

import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Literal

from steelyard.harness.checkpoints import added_tokens, around, own_marks_pattern
from steelyard.harness.errors import ScoringError
from steelyard.harness.records import Parity
from steelyard.harness.scoring.requests import ChatText, Request

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Pair = tuple[list[int], list[int]]

#: A text's tokens: as the tokenizer gives them by itself, the text's own alone, or those with what
#: belongs in front of a text, or around it, where it does not stand there yet.
Form = Literal["as is", "own", "in front", "around"]

_CACHED_TOKENS = 20_000_000
#: Encoded texts by tokenizer, so that five checkpoints of one family encode a suite once.
_encoded: dict[str, _Texts] = {}


class _Texts(dict[tuple[str, Form], list[int]]):
    """Tokens by text and form, forgotten when there are too many."""

    tokens = 0

    def add(self, form: Form, texts: list[str], rows: list[list[int]]) -> None:
        self.tokens += sum(map(len, rows))
        self.update(zip(((text, form) for text in texts), rows, strict=True))


class Encoder(ABC):
    """Encodes for one tokenizer and window, by one rule for special tokens.

    Attributes:
        rule: whose rule it is; the classes that carry one stand in ``special_tokens``.
        added: what the tokenizer puts around a text by itself.
        notes: one line for each kind of request that was handled by a rule above.
    """

    rule: ClassVar[Parity]
    ended: ClassVar[str]
    """What is noted where the tokenizer puts tokens behind a text; ``{ends}`` stands for them."""

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, max_length: int, is_encoder_decoder: bool
    ) -> None:
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.is_encoder_decoder = is_encoder_decoder
        self.added = added_tokens(tokenizer)
        self.notes: dict[str, str] = {}
        if self.added.after and not is_encoder_decoder:
            ends = tokenizer.decode(list(self.added.after))
            self.notes["ends"] = self.ended.format(ends=ends)
        self._cache = _encoded.setdefault(_fingerprint(tokenizer), _Texts())

    # --- a rule says ------------------------------------------------------------------------

    @property
    @abstractmethod
    def beginning(self) -> list[int]:
        """What begins a text: an empty context becomes it, and a whole text's first token
        follows it."""

    @abstractmethod
    def context_form(self, text: str) -> Form:
        """How the context of a continuation is encoded, and the continuation with it."""

    @abstractmethod
    def prompt_form(self, text: str) -> Form:
        """How a prompt to generate from is encoded."""

    @abstractmethod
    def windows(self, texts: Sequence[str]) -> list[list[Pair]]:
        """Each whole text in windows that predict every token once, as ``(context, predicted)``."""

    @abstractmethod
    def cut(self, tokens: list[int], room: int) -> list[int]:
        """What of a prompt is read where there is room for so many tokens."""

    # --- texts ------------------------------------------------------------------------------

    @cached_property
    def answers_begin_with(self) -> list[int]:
        """What an encoder-decoder's tokenizer puts in front of an answer by itself."""
        with_added = self.tokenizer(text_target="a")["input_ids"]
        own = self.tokenizer(text_target="a", add_special_tokens=False)["input_ids"]
        added = around(with_added, own)
        return [] if added is None else list(added.before)

    @property
    def prefix_token_id(self) -> int:
        """BOS, or EOS where there is none, as lm-eval has it.

        Raises ``ScoringError`` where the tokenizer has neither.
        """
        bos, eos = self.tokenizer.bos_token_id, self.tokenizer.eos_token_id
        token = eos if bos is None else bos
        if token is None:
            raise ScoringError(
                "the tokenizer has neither BOS nor EOS, so nothing can stand before a text's "
                "first token",
                fix="name one of them in tokenizer_config.json",
            )
        return int(token)

    def encode(self, text: str, add_special_tokens: bool | None = None) -> list[int]:
        """Tokens of one text; ``None`` encodes it as the context of a continuation."""
        if add_special_tokens is None:
            return self.encode_all([text], [self.context_form(text)])[0]
        return self.encode_all([text], ["as is" if add_special_tokens else "own"])[0]

    def encode_prompts(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokens of many prompts to generate from, in their order."""
        return self.encode_all(texts, [self.prompt_form(text) for text in texts])

    def encode_all(self, texts: Sequence[str], forms: Sequence[Form]) -> list[list[int]]:
        """Tokens of many texts in their order, each in its form."""
        if self._cache.tokens > _CACHED_TOKENS:
            self._cache.clear()
            self._cache.tokens = 0
        if not self.added:
            forms = ["own"] * len(texts)
        keys = list(zip(texts, forms, strict=True))
        missing = {key for key in keys if key not in self._cache}
        for form in sorted({form for _, form in missing}):
            self._encode_batch(sorted(text for text, own in missing if own == form), form)
        return [self._cache[key] for key in keys]

    # --- requests ---------------------------------------------------------------------------

    def pairs(self, requests: Sequence[Request]) -> list[Pair]:
        """``(context, continuation)`` tokens of log-likelihood requests."""
        split = [_move_spaces(str(r.arguments[0]), str(r.arguments[1])) for r in requests]
        forms = [self.context_form(request.text) for request in requests]
        if self.is_encoder_decoder:
            return self._apart(split, forms)
        texts = [text for c, k in split if c for text in (c, c + k)]
        twice = [form for (c, _), own in zip(split, forms, strict=True) if c for form in (own, own)]
        encoded = iter(self.encode_all(texts, twice))
        pairs = []
        for request, form, (context, continuation) in zip(requests, forms, split, strict=True):
            if context:
                context_tokens = next(encoded)
                pair = context_tokens, next(encoded)[len(context_tokens) :]
            else:
                pair = self._bare(continuation)
            pair = self._mended(request, form, pair, continuation)
            room = self.max_length + 1 - len(pair[1])
            if len(pair[0]) > room:
                pair = self.cut(pair[0], room), pair[1]
                self.note_cut(request)
            pairs.append(pair)
        return pairs

    def note_marks(self, requests: Sequence[Request]) -> None:
        """Note texts that hold a mark of the tokenizer's own, as a page about models may.

        What a chat template wrote is full of them; of a text's beginning BOS is expected.
        """
        if self._marks is None:
            return
        beginning = self.tokenizer.bos_token or "\0"
        tried: set[str] = set()  # many choices are asked behind one context
        for request in requests:
            if isinstance(request.text, ChatText):
                continue
            for text in request.arguments[:2]:
                if not isinstance(text, str) or text in tried:
                    continue
                tried.add(text)
                mark = self._marks.search(text.removeprefix(beginning))
                if mark:
                    rule = f"a text holds '{mark[0]}', which is read as the tokenizer's own mark"
                    self._note(rule, request)
                    return

    @cached_property
    def _marks(self) -> re.Pattern[str] | None:
        return own_marks_pattern(self.tokenizer)

    def note_cut(self, request: Request) -> None:
        """Note that a prompt is longer than the window."""
        self._note(f"the beginning of prompts beyond {self.max_length} tokens is not read", request)

    def _bare(self, continuation: str) -> Pair:
        (tokens,) = self.encode_all([continuation], ["own"])
        beginning = self.beginning
        if tokens[: len(beginning)] == beginning:
            return beginning, tokens[len(beginning) :]
        return beginning, tokens

    def _apart(self, split: Sequence[tuple[str, str]], forms: Sequence[Form]) -> list[Pair]:
        contexts = self.encode_all([context for context, _ in split], forms)
        continuations = self.encode_all([text for _, text in split], ["own"] * len(split))
        return [
            (self.cut(tokens, self.max_length) if context else self.beginning, continuation)
            for (context, _), tokens, continuation in zip(
                split, contexts, continuations, strict=True
            )
        ]

    def _mended(self, request: Request, form: Form, pair: Pair, continuation: str) -> Pair:
        context_tokens, tokens = pair
        if len(tokens) > self.max_length:
            raise ScoringError(
                f"a continuation of {len(tokens)} tokens does not fit the window of "
                f"{self.max_length}",
                key=request.task,
                value=continuation[:60],
                fix="raise max_length or shorten the choice",
            )
        if tokens or not continuation:
            if not tokens:
                self._note("empty continuation: log-likelihood 0", request)
            return pair
        (whole,) = self.encode_all([_joined(request)], [form])
        if whole == context_tokens or not whole:
            self._note("continuation of characters that the tokenizer drops", request)
            return pair
        # The continuation has no token of its own: score from the first token that it changes.
        shared = next(
            (i for i, (a, b) in enumerate(zip(context_tokens, whole, strict=False)) if a != b),
            min(len(context_tokens), len(whole)),
        )
        shared = max(min(shared, len(whole) - 1), 1)
        self._note("continuation merges into its context: scored from the changed token", request)
        return whole[:shared], whole[shared:]

    def _note(self, rule: str, request: Request) -> None:
        self.notes.setdefault(rule, f"{rule}, first in task '{request.task}'")

    def _encode_batch(self, texts: list[str], form: Form) -> None:
        special = form == "as is"
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        if backend is not None and backend.truncation is None and backend.padding is None:
            # Without offsets, which nobody asks for, encoding takes two thirds of the time.
            encodings = backend.encode_batch_fast(texts, add_special_tokens=special)
            rows = [encoding.ids for encoding in encodings]
        else:
            rows = self.tokenizer(
                texts, add_special_tokens=special, return_attention_mask=False, verbose=False
            )["input_ids"]
        if form == "in front":
            rows = [self.added.put_in_front(row) for row in rows]
        elif form == "around":
            rows = [self.added.put_around(row) for row in rows]
        self._cache.add(form, texts, rows)


def clear() -> None:
    """Forget every encoded text."""
    _encoded.clear()


def _move_spaces(context: str, continuation: str) -> tuple[str, str]:
    bare = context.rstrip()
    return bare, context[len(bare) :] + continuation


def _joined(request: Request) -> str:
    return "".join(map(str, request.arguments[:2]))


#: Where a tokenizer lies, of all that it was made from.
_PLACES = frozenset({"name_or_path", "vocab_file", "merges_file", "tokenizer_file"})


def _fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """What decides the tokens of a text, by content."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    content = backend.to_str() if backend is not None else repr(sorted_vocabulary(tokenizer))
    # Whether special tokens in a text are split stands outside of what the backend writes down.
    splits = getattr(backend, "encode_special_tokens", None)
    own = sorted((k, str(v)) for k, v in tokenizer.init_kwargs.items() if k not in _PLACES)
    parts: Iterable[object] = (
        type(tokenizer).__name__,
        content,
        tokenizer.special_tokens_map,
        splits,
        own if backend is None else [],
    )
    return hashlib.blake2b(repr(tuple(parts)).encode(), digest_size=16).hexdigest()


def sorted_vocabulary(tokenizer: PreTrainedTokenizerBase) -> list[tuple[str, int]]:
    """The vocabulary in an order that does not depend on the process."""
    return sorted(tokenizer.get_vocab().items())
