"""How many tokens run together, from the memory at hand and without probing forward passes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psutil
import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

#: Least and most tokens of a pack. On a CPU the least already runs at the machine's matrix rate.
TOKENS = {"cpu": (192, 512), "cuda": (1024, 4096)}
_SHARE_OF_FREE_MEMORY = 0.4
_FEWEST = 64


def tokens_per_batch(model: PreTrainedModel, max_length: int) -> int:
    """Tokens of one forward pass whose activations, mask and logits fit the free memory.

    A position costs, in the model's type, about 16 hidden vectors and three intermediate ones, one
    row of the mask, one row of keys and values a layer, and two rows of fp32 logits.
    """
    text = model.config.get_text_config()
    hidden, layers = _shape(model)
    intermediate = int(getattr(text, "intermediate_size", None) or 4 * hidden)
    vocabulary = int(model.get_input_embeddings().weight.shape[0])
    size = torch.finfo(model.dtype).bits // 8
    # Hidden states, the gated MLP, keys and values of every layer, a row of the additive mask; the
    # logits are fp32 whatever the model's type, once as they come and once reduced.
    each = size * (16 * hidden + 3 * intermediate + 2 * hidden * layers + 2 * max_length)
    each += 8 * vocabulary
    fitting = int(_SHARE_OF_FREE_MEMORY * free_bytes(model.device)) // each
    return int(max(_FEWEST, min(most_tokens(model), fitting)))


def most_tokens(model: PreTrainedModel) -> int:
    """Tokens of a pass where memory is no matter; a lower budget was set by it, or by hand.

    It is where the branches' attention to each other is a sixth of a layer's matrix products: under
    the mask every token of a pack is multiplied with every other (``4 n hidden``
    operations), while its own products cost twice the layer's parameters.
    """
    hidden, layers = _shape(model)
    least, most = TOKENS.get(model.device.type, TOKENS["cuda"])
    embedding = int(model.get_input_embeddings().weight.numel())
    layer = max(0, int(model.num_parameters()) - embedding) // layers
    return int(min(most, max(least, layer // (12 * hidden))))


def _shape(model: PreTrainedModel) -> tuple[int, int]:
    """Hidden size and number of layers."""
    text = model.config.get_text_config()
    hidden = int(getattr(text, "hidden_size", 0) or 1024)
    return hidden, int(getattr(text, "num_hidden_layers", None) or 12)


def free_bytes(device: torch.device) -> int:
    """Free memory of a device, or of the machine for a CPU."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def total_bytes(device: torch.device) -> int:
    """All the memory of a device, or of the machine for a CPU."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[1])
    return int(psutil.virtual_memory().total)


def release(device: torch.device) -> None:
    """Give a GPU's kept blocks back, so that a smaller batch finds whole ones."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that an allocation failed, on any device."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and "allocate memory" in str(error)
