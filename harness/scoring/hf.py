"""lm-eval's own ``hf`` model, as the reference that a faster scorer is held against."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from steelyard.harness.checkpoints.model import LoadedModel
from steelyard.harness.environment import quiet

if TYPE_CHECKING:
    from lm_eval.models.huggingface import HFLM

_LOGIT_BYTES = 2**30


def wrap(loaded: LoadedModel, *, max_length: int | None, batch_size: int | None = None) -> HFLM:
    """The loaded model as an ``HFLM`` that talks to nobody and asks no hub.

    ``batch_size=None`` takes the largest of 1, 2, 4, 8, 16 whose logits fit in a gibibyte.
    """
    logging.getLogger("lm_eval.models.huggingface").setLevel(logging.ERROR)
    from lm_eval.models.huggingface import HFLM

    class Reference(HFLM):
        def get_model_info(self) -> dict[str, Any]:
            return {}

        def _loglikelihood_tokens(self, requests: Any, **options: Any) -> Any:
            return super()._loglikelihood_tokens(requests, **(options | {"disable_tqdm": True}))

    with quiet():
        reference = Reference(
            pretrained=loaded.model,
            tokenizer=loaded.tokenizer,
            backend="seq2seq" if loaded.is_encoder_decoder else "causal",
            max_length=max_length,
            batch_size=1,
        )
    reference.batch_size_per_gpu = batch_size or _batch_size(reference)
    return reference


def settings(reference: HFLM) -> dict[str, Any]:
    """JSON of what changes a response beside the checkpoint."""
    return {
        "backend": "hf",
        "dtype": str(reference.model.dtype).removeprefix("torch."),
        "max_length": reference.max_length,
        "batch_size": reference.batch_size,
    }


def _batch_size(reference: Any) -> int:
    rows = int(reference.model.get_input_embeddings().weight.shape[0])
    fitting = _LOGIT_BYTES // (4 * rows * reference.max_length)
    return next(size for size in (16, 8, 4, 2, 1) if size <= max(fitting, 1))
