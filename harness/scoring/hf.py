"""lm-eval's own ``hf`` model, as the reference that a faster scorer is held against."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from lm_eval.models.huggingface import HFLM

from steelyard.harness.checkpoints import LoadedModel
from steelyard.harness.environment import quiet
from steelyard.harness.records import Parity
from steelyard.harness.scoring.special_tokens import AsLmEval, EachOnce

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance

_LOGIT_BYTES = 2**30
#: The texts, where they key lm-eval's cache, and the tokens of context and continuation.
_Asked = tuple[tuple[str, str] | None, list[int], list[int]]


class Reference(HFLM):
    """``HFLM`` without a bar, which its ``disable_tqdm`` does not reach, and without a hub."""

    @cached_property
    def encoder(self) -> AsLmEval:
        """What this model does to texts, to be asked about it."""
        return AsLmEval(self.tokenizer, self.max_length, self.backend == "seq2seq")

    def get_model_info(self) -> dict[str, object]:
        """Nothing: lm-eval would ask the hub for the model's revision."""
        return {}

    def _loglikelihood_tokens(
        self,
        requests: list[_Asked],
        disable_tqdm: bool = True,
        override_bs: int | None = None,
    ) -> list[tuple[float, bool]]:
        answers: list[tuple[float, bool]] = super()._loglikelihood_tokens(
            requests, disable_tqdm=True, override_bs=override_bs
        )
        return answers


class EachOnceReference(Reference):
    """The same with every special token of a whole text once, for a number that is compared with
    no other tool's.
    """

    def loglikelihood_rolling(
        self, requests: list[Instance], disable_tqdm: bool = True
    ) -> list[float]:
        """The log-likelihood in nats of each whole text."""
        encoder = EachOnce(self.tokenizer, self.max_length, self.backend == "seq2seq")
        windows = encoder.windows([str(request.args[0]) for request in requests])
        answers = []
        for own in windows:
            asked: list[_Asked] = [(None, context, predicted) for context, predicted in own]
            parts = self._loglikelihood_tokens(asked) if asked else []
            answers.append(sum(value for value, _ in parts))
        return answers


def wrap(
    loaded: LoadedModel,
    *,
    max_length: int | None,
    batch_size: int | None = None,
    parity: Parity = "lm-eval",
) -> Reference:
    """The loaded model as an ``HFLM`` that talks to nobody and asks no hub.

    ``batch_size=None`` takes the largest of 1, 2, 4, 8, 16 whose logits fit in a gibibyte.
    """
    kind = Reference if parity == "lm-eval" else EachOnceReference
    with quiet():
        reference = kind(
            pretrained=loaded.model,
            tokenizer=loaded.tokenizer,
            backend="seq2seq" if loaded.is_encoder_decoder else "causal",
            max_length=max_length,
            batch_size=1,
        )
    reference.batch_size_per_gpu = batch_size or _batch_size(reference)
    return reference


def settings(reference: Reference) -> dict[str, object]:
    """JSON of what changes a response beside the checkpoint."""
    return {
        "backend": "hf",
        "dtype": str(reference.model.dtype).removeprefix("torch."),
        "max_length": reference.max_length,
        "batch_size": reference.batch_size,
    }


def _batch_size(reference: Reference) -> int:
    rows = int(reference.model.get_input_embeddings().weight.shape[0])
    fitting = _LOGIT_BYTES // (4 * rows * reference.max_length)
    return next(size for size in (16, 8, 4, 2, 1) if size <= max(fitting, 1))
