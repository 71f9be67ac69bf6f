"""What the harness asks of an opened model, as one typed view of lm-eval's ``LM``.

Evaluation, pipeline, gate and trainers take a :class:`Scorer`, so whatever they ask stands here.
Every one is an ``lm_eval.api.model.LM`` as well, which is how lm-eval's own functions take it.
:func:`steelyard.harness.scoring.open_model` opens one;
:func:`steelyard.harness.scoring.as_scorer` makes one of any other ``LM``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from steelyard.harness.records import Parity
from steelyard.harness.scoring.progress import ProgressMeter

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class Scorer(Protocol):
    """A model that answers lm-eval's three kinds of requests and says what it is."""

    # --- answers ----------------------------------------------------------------------------

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """``(log-likelihood in nats, greedy)`` for each ``(context, continuation)``."""
        ...

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        """The log-likelihood in nats of each whole text."""
        ...

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """The continuation of each ``(context, generation settings)``."""
        ...

    def fill(self, instances: Sequence[Instance], share: tuple[int, int]) -> int:
        """Run shard ``share[0]`` of ``share[1]`` into the journal; how many packs it has.

        Raises ``ScoringError`` where there is no journal that could keep them.
        """
        ...

    @property
    def progress(self) -> ProgressMeter:
        """Counts what is answered; told beforehand how much will be asked."""
        ...

    # --- text -------------------------------------------------------------------------------

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """The chat as one string, by the tokenizer's template."""
        ...

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """The chat template itself; empty or None where there is none."""
        ...

    def tok_encode(self, string: str, add_special_tokens: bool | None = None) -> list[int]:
        """Tokens of a text; None adds what the tokenizer adds by itself.

        Raises ``ScoringError`` where the backend keeps its tokenizer to itself.
        """
        ...

    def count_tokens(self, text: str) -> int:
        """How many tokens a text has, special ones that a tokenizer adds left out.

        0 where the backend keeps its tokenizer to itself.
        """
        ...

    @property
    def chat_time(self) -> str | None:
        """What the chat template is told is the time, ISO 8601; None where it asks for none."""
        ...

    # --- what it is -------------------------------------------------------------------------

    @property
    def backend(self) -> str:
        """``steelyard``, ``hf``, ``lm-eval:NAME``, or the class of a model opened elsewhere."""
        ...

    @property
    def dtype(self) -> str | None:
        """The weights' type, such as ``float32``; None where they are not in this process."""
        ...

    @property
    def max_length(self) -> int | None:
        """The context window in tokens; None where the backend does not say."""
        ...

    @property
    def settings(self) -> Mapping[str, object]:
        """JSON of everything beside the checkpoint that changes a response."""
        ...

    @property
    def generation_defaults(self) -> str | None:
        """JSON of what the model's folder says of generation; None where it is not known."""
        ...

    def parity(self, requests: Sequence[Instance]) -> Parity | None:
        """By whose rule special tokens are put into these requests.

        None where the two rules come to the same tokens.
        """
        ...

    def scoring_record(self) -> dict[str, object]:
        """JSON of how the model scores and what happened on the way, for the record of a run."""
        ...

    # --- what is inside, for measures that lm-eval has no request for -----------------------

    @property
    def model(self) -> PreTrainedModel | None:
        """The weights; None where they are not in this process."""
        ...

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase | None:
        """The tokenizer; None where the backend keeps it to itself."""
        ...

    @property
    def prefix_token_id(self) -> int | None:
        """What an empty context becomes; None where the backend does not say."""
        ...
