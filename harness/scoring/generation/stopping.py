"""When a continuation is done, and what of it is the answer: lm-eval's rules."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_LOOK_BACK = 2


class Stopping:
    """Stop strings and end tokens of one request.

    A stop string is looked for in the text of the last tokens, two more than it takes to encode
    it, because a model may spell it in other tokens (``"\\n" "\\n"`` for ``"\\n\\n"``).
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, stops: Sequence[str], end_tokens: Iterable[int]
    ) -> None:
        self._tokenizer = tokenizer
        self.stops = [stop for stop in stops if stop]
        self._ends = frozenset(end_tokens)
        self._window = _LOOK_BACK + max(
            (len(tokenizer.encode(stop, add_special_tokens=False)) for stop in self.stops),
            default=0,
        )

    def done(self, generated: Sequence[int]) -> bool:
        """Whether the newest token ends the continuation."""
        if generated[-1] in self._ends:
            return True
        if not self.stops:
            return False
        text = self._tokenizer.decode(generated[-self._window :])
        return any(stop in text for stop in self.stops)

    def answer(self, generated: Sequence[int]) -> str:
        """The text before the first stop string, without special tokens."""
        text = str(self._tokenizer.decode(generated, skip_special_tokens=True))
        for stop in self.stops:
            text = text.split(stop)[0]
        return text
