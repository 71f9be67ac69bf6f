"""lm-eval's own ``hf`` model, as the reference that a faster scorer is held against."""

from __future__ import annotations

from lm_eval.models.huggingface import HFLM

from steelyard.harness.checkpoints import LoadedModel
from steelyard.harness.environment import quiet

_LOGIT_BYTES = 2**30


class Reference(HFLM):
    """``HFLM`` without a bar, which its ``disable_tqdm`` does not reach, and without a hub."""

    def get_model_info(self) -> dict[str, object]:
        """Nothing: lm-eval would ask the hub for the model's revision."""
        return {}

    def _loglikelihood_tokens(
        self,
        requests: list[tuple[tuple[str, str], list[int], list[int]]],
        disable_tqdm: bool = True,
        override_bs: int | None = None,
    ) -> list[tuple[float, bool]]:
        answers: list[tuple[float, bool]] = super()._loglikelihood_tokens(
            requests, disable_tqdm=True, override_bs=override_bs
        )
        return answers


def wrap(
    loaded: LoadedModel, *, max_length: int | None, batch_size: int | None = None
) -> Reference:
    """The loaded model as an ``HFLM`` that talks to nobody and asks no hub.

    ``batch_size=None`` takes the largest of 1, 2, 4, 8, 16 whose logits fit in a gibibyte.
    """
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
