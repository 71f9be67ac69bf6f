"""Whose special tokens a prompt carries: ours, each once, or lm-eval's ``hf`` model's.

A tokenizer puts tokens around a text by itself: BOS in front (Llama, Gemma, Mistral), EOS behind
(what training tools save), CLS and SEP. By our rule

* what belongs in front of a text stands there once, whoever wrote it: tokenizer, template or text;
* nothing stands behind a prompt or in a text that is measured: a model that continues a text is
  never asked what follows EOS, and no special token's probability counts as a text's;
* what was cut to the window begins as every text does, and so does every window of a long text;
* a chat is what its template wrote, as transformers' own ``apply_chat_template`` encodes it.

lm-eval 0.4.13 leaves the tokenizer's EOS behind a prompt, puts BOS in front of a whole text whose
tokenizer has put one there and counts the second, cuts a long prompt's BOS off with its beginning,
and puts BOS in front of a chat whose template has none. ``parity: lm-eval`` does the same, so that
a number can be held against one of its own. An encoder reads what its tokenizer makes of a text.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from steelyard.harness.records import Parity
from steelyard.harness.scoring.encoding import Encoder, Form, Pair
from steelyard.harness.scoring.generation.prompts import most_tokens
from steelyard.harness.scoring.passes.windows import rolling_windows
from steelyard.harness.scoring.requests import ChatText

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance
    from transformers import PreTrainedTokenizerBase


class EachOnce(Encoder):
    """Every special token once, where it belongs."""

    rule: ClassVar[Parity] = "steelyard"
    ended: ClassVar[str] = "the tokenizer ends texts with {ends}: prompts are left open"

    @property
    def beginning(self) -> list[int]:
        """See :class:`Encoder`."""
        nothing = self.added.put_around([]) if self.is_encoder_decoder else self.added.before
        return list(nothing) or [self.prefix_token_id]

    def context_form(self, text: str) -> Form:
        """See :class:`Encoder`."""
        return self.prompt_form(text)

    def prompt_form(self, text: str) -> Form:
        """See :class:`Encoder`."""
        if self.is_encoder_decoder:
            return "around"
        return "own" if isinstance(text, ChatText) else "in front"

    def windows(self, texts: Sequence[str]) -> list[list[Pair]]:
        """See :class:`Encoder`."""
        rows = self.encode_all(texts, ["own"] * len(texts))
        begun = bool(self.added.before) and not self.is_encoder_decoder
        return [
            rolling_windows(
                row[len(self.added.before) :] if self.added.starts(row) else row,
                self.beginning if row else [],
                self.max_length,
                begins_each=begun,
            )
            for row in rows
        ]

    def cut(self, tokens: list[int], room: int) -> list[int]:
        """See :class:`Encoder`."""
        front = len(self.added.before)
        if len(tokens) <= room or room <= front or not self.added.starts(tokens):
            return tokens[-room:]
        return [*self.added.before, *tokens[len(tokens) - (room - front) :]]


class AsLmEval(Encoder):
    """Special tokens as lm-eval's ``hf`` model has them, at batch size 1."""

    rule: ClassVar[Parity] = "lm-eval"
    ended: ClassVar[str] = "every prompt ends in {ends}, as lm-eval leaves the tokenizer's"

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, max_length: int, is_encoder_decoder: bool
    ) -> None:
        super().__init__(tokenizer, max_length, is_encoder_decoder)
        self._prefix_text = tokenizer.decode(self.prefix_token_id)

    @property
    def beginning(self) -> list[int]:
        """See :class:`Encoder`."""
        return [self.prefix_token_id]

    def context_form(self, text: str) -> Form:
        """See :class:`Encoder`."""
        return "own" if text.startswith(self._prefix_text) else "as is"

    def prompt_form(self, text: str) -> Form:
        """See :class:`Encoder`."""
        bos = None if self.is_encoder_decoder else getattr(self.tokenizer, "bos_token", None)
        return "own" if bos is not None and text.startswith(bos) else "as is"

    def windows(self, texts: Sequence[str]) -> list[list[Pair]]:
        """See :class:`Encoder`."""
        rows = self.encode_all(texts, [self.context_form(text) for text in texts])
        return [
            [
                make_disjoint_window(pair)
                for pair in get_rolling_token_windows(row, self.prefix_token_id, self.max_length, 1)
            ]
            for row in rows
        ]

    def cut(self, tokens: list[int], room: int) -> list[int]:
        """See :class:`Encoder`."""
        return tokens[-room:]


def encoder_class(rule: Parity) -> type[Encoder]:
    """The encoder that puts special tokens in by this rule."""
    return EachOnce if rule == "steelyard" else AsLmEval


def rule_of(encoder: Encoder, requests: Iterable[Instance]) -> Parity | None:
    """Whose rule made the answers to these requests; None where either comes to the same tokens."""
    if not encoder.added:
        return None
    return encoder.rule if any(_differs(encoder, request) for request in requests) else None


def _differs(encoder: Encoder, request: Instance) -> bool:
    if request.request_type == "loglikelihood_rolling":
        return True
    if encoder.is_encoder_decoder:
        answered = request.request_type == "loglikelihood" and bool(encoder.answers_begin_with)
        return answered or _too_long(encoder, request)
    ended = bool(encoder.added.after)
    return ended or _without_bos(encoder, request) or _too_long(encoder, request)


def _without_bos(encoder: Encoder, request: Instance) -> bool:
    """Whether it is a chat whose template does not write what the tokenizer puts in front."""
    text = request.args[0]
    if not isinstance(text, ChatText):
        return False
    return not encoder.added.starts(encoder.encode(str(text), add_special_tokens=False))


def _too_long(encoder: Encoder, request: Instance) -> bool:
    """Whether the beginning of its prompt is cut, and BOS with it, by lm-eval's rule."""
    context, asked = str(request.args[0]), request.args[1]
    room = encoder.max_length
    if isinstance(asked, str):
        context += asked
    elif not encoder.is_encoder_decoder:
        room -= most_tokens(asked)
    # No token is shorter than a byte; only texts that may be too long are counted.
    if len(context.encode()) + len(encoder.added.before) + len(encoder.added.after) <= room:
        return False
    return len(encoder.encode(context)) > room
