"""A model in few bits as its library packs it, and the floats that packed weights stand for."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steelyard.harness.checkpoints import keep_layout, read_weights
from steelyard.trainers.loops.libraries import bitsandbytes, torch, transformers

if TYPE_CHECKING:
    from transformers.quantizers import QuantizationConfigMixin


def packed(
    full: transformers.PreTrainedModel, config: QuantizationConfigMixin, folder: Path
) -> transformers.PreTrainedModel:
    """``full`` as its library packs it: written to ``folder``, read back, and removed there."""
    whole = folder / "whole"
    full.save_pretrained(whole)
    try:
        # By its own class: an encoder-decoder is no causal model.
        kind: Any = type(full)
        model: transformers.PreTrainedModel = read_weights(
            kind,
            whole,
            quantization_config=config,
            dtype=torch.float32,
            device_map={"": full.device},
        ).model
    finally:
        shutil.rmtree(whole)
    keep_layout(model)
    return model


def put_back(full: transformers.PreTrainedModel, four_bits: transformers.PreTrainedModel) -> None:
    """Give ``full`` the floats that the 4-bit weights of the same model stand for.

    bitsandbytes packs GPT-2's ``Conv1D``, whose weights lie the other way round, as linear layers.
    """
    dequantised = bitsandbytes.functional.dequantize_4bit
    with torch.no_grad():
        for name, module in four_bits.named_modules():
            if isinstance(module, bitsandbytes.nn.Linear4bit):
                own = full.get_submodule(name)
                values = dequantised(module.weight.data, module.weight.quant_state)
                turned = isinstance(own, transformers.pytorch_utils.Conv1D)
                own.weight.copy_(values.T if turned else values)
