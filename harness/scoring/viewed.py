"""Any lm-eval model as a :class:`steelyard.harness.scoring.Scorer`: what it lacks is said so."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import torch
from lm_eval.api.model import LM

from steelyard.harness.checkpoints import CHAT_TIME, asks_for_time, is_told_fixed_time
from steelyard.harness.errors import ScoringError
from steelyard.harness.records import Parity
from steelyard.harness.scoring.encoding import Encoder
from steelyard.harness.scoring.generation.defaults import stated_defaults
from steelyard.harness.scoring.progress import ProgressMeter, Report
from steelyard.harness.scoring.special_tokens import rule_of

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def _unseen(_: object) -> None:
    """Progress of a model that somebody else opened is shown by whoever did."""


class ViewedLM(LM):
    """An lm-eval model that answers by ``inner``, call for call.

    Args:
        inner: the model that answers.
        settings: JSON of everything beside the checkpoint that changes a response; None names the
            class of ``inner`` alone.
        report: told about progress; None shows a bar on a terminal and nothing elsewhere.
    """

    def __init__(
        self,
        inner: LM,
        settings: Mapping[str, object] | None = None,
        report: Report | None = _unseen,
    ) -> None:
        super().__init__()
        self.inner = inner
        self.settings = {"backend": type(inner).__name__} if settings is None else dict(settings)
        self.progress = ProgressMeter(report)
        self._device = inner.device
        self._rank = inner.rank
        self._world_size = inner.world_size

    def __getattr__(self, name: str) -> object:
        """What lm-eval looks up beyond its own interface is the inner model's."""
        if name == "inner":  # not yet set: a copy or a pickle is being made
            raise AttributeError(name)
        value: object = getattr(self.inner, name)
        return value

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """See :class:`steelyard.harness.scoring.Scorer`."""
        answers: list[tuple[float, bool]] = self.inner.loglikelihood(requests)
        return answers

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        """See :class:`steelyard.harness.scoring.Scorer`."""
        answers: list[float] = self.inner.loglikelihood_rolling(requests)
        return answers

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """See :class:`steelyard.harness.scoring.Scorer`."""
        answers: list[str] = self.inner.generate_until(requests)
        return answers

    def fill(self, instances: Sequence[Instance], share: tuple[int, int]) -> int:
        """See :class:`steelyard.harness.scoring.Scorer`."""
        raise ScoringError("without a journal nothing would keep a shard's answers")

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """The chat as one string, by the inner model's template."""
        chat: str = self.inner.apply_chat_template(chat_history, add_generation_prompt)
        return chat

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """The inner model's chat template."""
        template: str | None = self.inner.chat_template(chat_template)
        return template

    @property
    def chat_time(self) -> str | None:
        """See :class:`steelyard.harness.scoring.Scorer`; a foreign backend is told the day."""
        if not asks_for_time(self.chat_template(True)):
            return None
        if is_told_fixed_time(self.tokenizer):
            return CHAT_TIME.isoformat()
        return datetime.now(UTC).date().isoformat()

    @property
    def tokenizer_name(self) -> str:
        """The inner model's tokenizer name, which keys lm-eval's own caches."""
        return str(self.inner.tokenizer_name)

    def tok_encode(self, string: str, add_special_tokens: bool | None = None) -> list[int]:
        """See :class:`steelyard.harness.scoring.Scorer`."""
        if not self._encodes:
            raise ScoringError(f"backend {self.backend} keeps its tokenizer to itself")
        if add_special_tokens is None:
            return list(self.inner.tok_encode(string))
        return list(self.inner.tok_encode(string, add_special_tokens=add_special_tokens))

    def count_tokens(self, text: str) -> int:
        """See :class:`steelyard.harness.scoring.Scorer`."""
        if not self._encodes:
            return 0
        asked = inspect.signature(self.inner.tok_encode).parameters
        bare = False if "add_special_tokens" in asked else None
        return len(self.tok_encode(text, add_special_tokens=bare))

    @property
    def _encodes(self) -> bool:
        return callable(getattr(self.inner, "tok_encode", None))

    def parity(self, requests: Sequence[Instance]) -> Parity | None:
        """See :class:`steelyard.harness.scoring.Scorer`; a model opened elsewhere has lm-eval's."""
        encoder = getattr(self.inner, "encoder", None)
        return rule_of(encoder, requests) if isinstance(encoder, Encoder) else "lm-eval"

    @property
    def backend(self) -> str:
        """See :class:`steelyard.harness.scoring.Scorer`."""
        return str(self.settings.get("backend", type(self.inner).__name__))

    @property
    def dtype(self) -> str | None:
        """See :class:`steelyard.harness.scoring.Scorer`."""
        dtype = getattr(self.model, "dtype", None)
        return None if dtype is None else str(dtype).removeprefix("torch.")

    @property
    def max_length(self) -> int | None:
        """See :class:`steelyard.harness.scoring.Scorer`."""
        length = getattr(self.inner, "max_length", None)
        return None if length is None else int(length)

    @property
    def generation_defaults(self) -> str | None:
        """See :class:`steelyard.harness.scoring.Scorer`."""
        return stated_defaults(self.model)

    def get_model_info(self) -> dict[str, object]:
        """What lm-eval writes into its results about the model; asks no hub."""
        return dict(self.settings)

    def scoring_record(self) -> dict[str, object]:
        """See :class:`steelyard.harness.scoring.Scorer`."""
        return dict(self.settings)

    @property
    def model(self) -> PreTrainedModel | None:
        """See :class:`steelyard.harness.scoring.Scorer`; a server's ``model`` is but its name."""
        model = getattr(self.inner, "model", None)
        return model if isinstance(model, torch.nn.Module) else None

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase | None:
        """See :class:`steelyard.harness.scoring.Scorer`."""
        return getattr(self.inner, "tokenizer", None)

    @property
    def prefix_token_id(self) -> int | None:
        """See :class:`steelyard.harness.scoring.Scorer`."""
        token = getattr(self.inner, "prefix_token_id", None)
        return None if token is None else int(token)
