"""Which prompts do not fit a model's window, and were asked without their beginning.

lm-eval's ``hf`` model drops tokens from the left, and so do we: what is lost is a few-shot example
or the question itself. The row counts, as it does there, and carries a flag.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

#: What a tokenizer may put around a text of its own accord.
_SPECIAL = 4


@dataclass(frozen=True)
class Window:
    """How many tokens a model reads at once; None: it does not say."""

    length: int | None
    count_tokens: Callable[[str], int]
    encoder_decoder: bool = False
    """Whether a prompt is read apart from its answer."""
    added: int = 0
    """Special tokens that stand in front of a prompt, which ``count_tokens`` leaves out."""

    def cuts(self, prompt: str, answers: Sequence[str] = ("",), room: int = 0) -> bool:
        """Whether a prompt with one of its answers, or with ``room`` tokens to write, is too long.

        A token is at least a byte of its text, so short prompts are told by their bytes.
        """
        if self.length is None or not prompt:
            return False
        beside = [] if self.encoder_decoder else [answer for answer in answers if answer]
        # The last token of an answer is predicted and never read.
        fits = self.length - (0 if self.encoder_decoder else room) + bool(beside)
        most_bytes = max(map(_bytes, beside), default=0)
        if _bytes(prompt) + most_bytes + _SPECIAL <= fits:
            return False
        # The longest in tokens, which need not be the longest to look at.
        longest = max(beside, key=self.count_tokens, default="")
        return self.count_tokens(prompt + longest) + self.added > fits


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "replace"))
