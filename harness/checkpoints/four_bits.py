"""bitsandbytes' 4-bit weights keep the layout that they are stored in."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def keep_layout(model: torch.nn.Module) -> None:
    """Stop bitsandbytes from repacking 4-bit weights in the first forward pass in evaluation mode.

    On a CPU with AVX512-BF16 the repacked kernel computes in bfloat16, so the same checkpoint would
    score differently on two CPUs; a later save would write other tensors; and back in training mode
    the loss is right and the gradients are wrong, in silence.
    """
    for module in model.modules():
        if type(module).__name__ == "Linear4bit":
            module.support_avx512bf16_for_cpu = False
