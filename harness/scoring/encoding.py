"""Text to tokens, exactly as lm-eval's ``hf`` model does it, each distinct text once.

Rules kept, or numbers differ: trailing spaces of a context move to its continuation; a pair is
split at ``len(encode(context))``; an empty context becomes the prefix token; a text that already
starts with the prefix token gets no second one.

Requests that lm-eval would fail on are found here, before the model runs:

* a continuation that merges into the last token of its context (``"hello wor" + "ld"``) is scored
  from the first token that its text changes;
* an empty continuation has log-likelihood 0 and is greedy;
* a continuation longer than the window is an error that names the task.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from steelyard.harness.errors import ScoringError
from steelyard.harness.scoring.requests import Request

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Pair = tuple[list[int], list[int]]

_CACHED_TOKENS = 20_000_000
#: Encoded texts by tokenizer, so that five checkpoints of one family encode a suite once.
_encoded: dict[str, _Texts] = {}


class _Texts(dict[tuple[str, bool], list[int]]):
    """Tokens by text and whether special tokens are in, forgotten when there are too many."""

    tokens = 0

    def add(self, special: bool, texts: list[str], rows: list[list[int]]) -> None:
        self.tokens += sum(map(len, rows))
        self.update(zip(((text, special) for text in texts), rows, strict=True))


class Encoder:
    """Encodes for one tokenizer and window.

    Attributes:
        notes: one line for each kind of request that was handled by a rule above.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, max_length: int, is_encoder_decoder: bool
    ) -> None:
        self.tokenizer = tokenizer
        self.max_length = max_length
        self.is_encoder_decoder = is_encoder_decoder
        self.notes: dict[str, str] = {}
        self._prefix_text = self.tokenizer.decode(self.prefix_token_id)
        self._cache = _encoded.setdefault(_fingerprint(tokenizer), _Texts())

    @property
    def prefix_token_id(self) -> int:
        """What an empty context becomes: BOS, or EOS where there is none."""
        bos = self.tokenizer.bos_token_id
        return int(self.tokenizer.eos_token_id if bos is None else bos)

    def encode(self, text: str, add_special_tokens: bool | None = None) -> list[int]:
        """Tokens of one text; ``None`` adds what the tokenizer adds by itself."""
        return self.encode_all([text], add_special_tokens)[0]

    def encode_all(
        self, texts: Sequence[str], add_special_tokens: bool | None = None
    ) -> list[list[int]]:
        """Tokens of many texts in their order."""
        if self._cache.tokens > _CACHED_TOKENS:
            self._cache.clear()
            self._cache.tokens = 0
        keys = [(text, self._special(text, add_special_tokens)) for text in texts]
        missing = {key for key in keys if key not in self._cache}
        for special in (True, False):
            batch = sorted(text for text, with_special in missing if with_special is special)
            if batch:
                self._encode_batch(batch, special)
        return [self._cache[key] for key in keys]

    def encode_prompt(self, text: str) -> list[int]:
        """Tokens of a prompt to continue; one that starts with BOS gets no second one."""
        return self.encode_prompts([text])[0]

    def encode_prompts(self, texts: Sequence[str]) -> list[list[int]]:
        """Tokens of many prompts in their order."""
        bos = None if self.is_encoder_decoder else getattr(self.tokenizer, "bos_token", None)
        starts = [bos is not None and text.startswith(bos) for text in texts]
        for has_bos in (True, False):
            batch = [text for text, start in zip(texts, starts, strict=True) if start is has_bos]
            self.encode_all(batch, add_special_tokens=not has_bos)
        return [
            self.encode(text, add_special_tokens=not start)
            for text, start in zip(texts, starts, strict=True)
        ]

    def pairs(self, requests: Sequence[Request]) -> list[Pair]:
        """``(context, continuation)`` tokens of log-likelihood requests."""
        split = [_move_spaces(str(r.arguments[0]), str(r.arguments[1])) for r in requests]
        if self.is_encoder_decoder:
            return [self._apart(context, continuation) for context, continuation in split]
        texts = [text for c, k in split if c for text in (c, c + k)]
        encoded = iter(self.encode_all(texts))
        pairs = []
        for request, (context, continuation) in zip(requests, split, strict=True):
            if context:
                context_tokens = next(encoded)
                pair = context_tokens, next(encoded)[len(context_tokens) :]
            else:
                pair = self._bare(continuation)
            pairs.append(self._mended(request, pair, continuation))
        return pairs

    def _bare(self, continuation: str) -> Pair:
        tokens = self.encode(continuation, add_special_tokens=False)
        if tokens and tokens[0] == self.prefix_token_id:
            return tokens[:1], tokens[1:]
        return [self.prefix_token_id], tokens

    def _apart(self, context: str, continuation: str) -> Pair:
        tokens = self.encode(continuation, add_special_tokens=False)
        return (self.encode(context) if context else [self.prefix_token_id]), tokens

    def _mended(self, request: Request, pair: Pair, continuation: str) -> Pair:
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
        # The continuation has no token of its own: score from the first token that it changes.
        whole = self.encode(_joined(request))
        shared = next(
            (i for i, (a, b) in enumerate(zip(context_tokens, whole, strict=False)) if a != b),
            min(len(context_tokens), len(whole)),
        )
        shared = max(min(shared, len(whole) - 1), 1)
        self._note("continuation merges into its context: scored from the changed token", request)
        return whole[:shared], whole[shared:]

    def _note(self, rule: str, request: Request) -> None:
        self.notes.setdefault(rule, f"{rule}, first in task '{request.task}'")

    def _special(self, text: str, add_special_tokens: bool | None) -> bool:
        if add_special_tokens is not None:
            return add_special_tokens
        return not text.startswith(self._prefix_text)

    def _encode_batch(self, texts: list[str], special: bool) -> None:
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        if backend is not None and backend.truncation is None and backend.padding is None:
            # Without offsets, which nobody asks for, encoding takes two thirds of the time.
            encodings = backend.encode_batch_fast(texts, add_special_tokens=special)
            rows = [encoding.ids for encoding in encodings]
        else:
            rows = self.tokenizer(
                texts, add_special_tokens=special, return_attention_mask=False, verbose=False
            )["input_ids"]
        self._cache.add(special, texts, rows)


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
