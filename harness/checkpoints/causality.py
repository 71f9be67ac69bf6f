"""Whether a model predicts a token from those before it alone.

A masked-language model (BERT) loads as a causal one and answers: each token is then predicted from
itself, and every loss comes out near 0. What a configuration calls itself does not decide
(``is_decoder``, ``architectures``): the model is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from steelyard.harness.errors import CheckpointError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

#: Tokens that two rows share, and that differ behind them.
_SHARED, _OTHER = 5, 3
#: Largest change of a logit, as a share of the largest logit: rounding changes 1e-6.
_TOLERANCE = 1e-3


def require_causal(model: PreTrainedModel, folder: str) -> None:
    """Raise ``CheckpointError`` where what is predicted depends on the tokens behind it.

    Weights in fewer bits are not asked: kernels that round activations by column let one token
    change another's rounding.
    """
    import torch

    if model.config.is_encoder_decoder or getattr(model, "is_quantized", False):
        return
    rows = int(model.get_input_embeddings().weight.shape[0])
    first = torch.arange(1, 1 + _SHARED + _OTHER, device=model.device)
    second = torch.cat([first[:_SHARED], first[_SHARED:] + _OTHER])
    with torch.inference_mode():
        ours, theirs = (
            model(input_ids=ids.remainder(rows)[None], use_cache=False).logits[0, :_SHARED].float()
            for ids in (first, second)
        )
    if bool((ours - theirs).abs().max() > _TOLERANCE * ours.abs().max()):
        raise CheckpointError(
            f"{type(model).__name__} predicts a token from itself and from those behind it: it "
            "fills gaps (a masked-language model) and gives texts no likelihood",
            file=folder,
            fix="use a decoder (GPT-2, Llama, ModernBertDecoder) or an encoder-decoder (T5)",
        )
