"""What every model of ours answers to lm-eval, whatever way it scores."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import configure_pad_token, resolve_max_length

from steelyard.harness.records import Parity
from steelyard.harness.scoring import memory
from steelyard.harness.scoring.chats import Chats, several_templates
from steelyard.harness.scoring.notes import Events
from steelyard.harness.scoring.plans import Plan
from steelyard.harness.scoring.requests import ChatText, Request
from steelyard.harness.scoring.special_tokens import encoder_class

if TYPE_CHECKING:
    import torch
    from lm_eval.api.instance import Instance
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from steelyard.harness.checkpoints import LoadedModel


class OpenedLM(TemplateLM):
    """A loaded model with its tokenizer and window.

    :class:`steelyard.harness.scoring.journalled.JournalledLM` asks it for plans and runs them; that
    is the one which lm-eval talks to.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        max_length: int | None,
        tokens_per_batch: int | None,
        parity: Parity,
    ) -> None:
        super().__init__()
        self.model: PreTrainedModel = loaded.model
        self.tokenizer: PreTrainedTokenizerBase = configure_pad_token(
            loaded.tokenizer, model_config=self.model.config
        )
        self.max_length: int = max_length or resolve_max_length(self.model.config, self.tokenizer)
        self._device = self.model.device
        encoder = encoder_class(parity)
        self.encoder = encoder(self.tokenizer, self.max_length, loaded.is_encoder_decoder)
        self.budget = tokens_per_batch or memory.tokens_per_batch(self.model, self.max_length)
        notes = {note: note for note in loaded.notes}
        self.events = Events(notes=notes | dict(self.encoder.notes))

    def plan(self, kind: str, requests: Sequence[Request], budget: int) -> Plan:
        """Cut requests of one kind into packs, by their content and ``budget`` alone."""
        raise NotImplementedError

    def settings(self) -> dict[str, object]:
        """JSON of what changes a response beside the checkpoint."""
        settings = {
            "backend": "steelyard",
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "device": self.model.device.type,
            "max_length": self.max_length,
        }
        if self.encoder.added and self.encoder.rule != "lm-eval":
            # Answers of journals from before this rule are lm-eval's.
            settings["special_tokens"] = self.encoder.rule
        return settings

    def scoring_record(self) -> dict[str, object]:
        """JSON of the budget and of what happened on the way."""
        return {
            "tokens_per_batch": self.budget,
            "out_of_memory": self.events.out_of_memory,
            "notes": sorted(self.events.notes.values()),
        }

    @property
    def eot_token_id(self) -> int:
        """The token that ends a text."""
        return int(self.tokenizer.eos_token_id)

    @property
    def prefix_token_id(self) -> int:
        """What an empty context becomes."""
        return self.encoder.prefix_token_id

    @property
    def tokenizer_name(self) -> str:
        """Keys lm-eval's own request cache."""
        return str(self.tokenizer.name_or_path).replace("/", "__")

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self._device

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **_: object
    ) -> list[int]:
        """Tokens of a text, as lm-eval's ``hf`` model encodes it."""
        return self.encoder.encode(string, add_special_tokens)

    def loglikelihood(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[tuple[float, bool]]:
        """Without journal and bar; see :class:`JournalledLM`."""
        raise NotImplementedError("open the model with steelyard.harness.scoring.open_model")

    def loglikelihood_rolling(
        self, requests: list[Instance], disable_tqdm: bool = False
    ) -> list[float]:
        """Without journal and bar; see :class:`JournalledLM`."""
        raise NotImplementedError("open the model with steelyard.harness.scoring.open_model")

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Without journal and bar; see :class:`JournalledLM`."""
        raise NotImplementedError("open the model with steelyard.harness.scoring.open_model")

    def _loglikelihood_tokens(self, requests: object, **_: object) -> list[tuple[float, bool]]:
        raise NotImplementedError("open the model with steelyard.harness.scoring.open_model")

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> ChatText:
        """The chat as one string, by the tokenizer's template; see :class:`Chats`."""
        return self._chats.written(chat_history, add_generation_prompt)

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """The template that chats are written by, by name where there are several."""
        try:
            template: str | None = super().chat_template(chat_template)
        except ValueError as error:
            raise several_templates(self.tokenizer, error) from error
        return template

    @cached_property
    def _chats(self) -> Chats:
        return Chats(self.tokenizer, self.encoder.rule, self.events.notes)
