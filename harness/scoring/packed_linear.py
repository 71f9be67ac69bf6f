"""Linear layers whose weights are laid out once for the processor's matrix product.

For every product torch's fp32 path on a CPU copies the weights into its kernel's own layout anew.
oneDNN takes weights that are in its layout already (what ``torch.compile`` calls freezing), which
is a fifth faster at the sizes of a pack, nearly twice as fast in the head, and more for the few
rows of a decoding step. The arithmetic is fp32 all the same; only the order of sums differs.

The layer's own weights stay where they are, for whoever reads them, so this costs their size in
memory once more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from harness.scoring import memory

#: Packed copies may take this share of the machine's memory. Of all of it, not of what is free: a
#: resumed run must take the same kernels, or its scores differ in the last bits.
_SHARE_OF_MEMORY = 0.125
_ROWS = 192
_TOLERANCE = 1e-4


def pack(model: Any) -> list[Any]:
    """Give the linear layers of an fp32 model on a CPU packed weights; the layers that got them.

    Nothing happens on other devices and types, for quantised models, where torch has no oneDNN, or
    where the copies would take too much memory. A layer whose packed product is not the plain one
    keeps the plain one.
    """
    if model.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return []
    layers = [module for module in model.modules() if _is_plain(module)]
    size = sum(4 * int(module.weight.numel()) for module in layers)
    if size > _SHARE_OF_MEMORY * memory.total_bytes(model.device):
        return []
    with torch.inference_mode():
        return [layer for layer in layers if _pack_layer(layer)]


def unpack(layers: list[Any]) -> None:
    """Put layers back to their plain product."""
    for layer in layers:
        del layer.forward


def _is_plain(module: Any) -> bool:
    """Whether a module is a linear layer of fp32 weights that nobody has changed the ways of."""
    if type(module) is not torch.nn.Linear and type(module).__name__ != "Conv1D":
        return False
    weight: Any = getattr(module, "weight", None)
    known = isinstance(weight, torch.nn.Parameter) and weight.dtype == torch.float32
    return known and weight.dim() == 2 and "forward" not in vars(module)


def _pack_layer(module: Any) -> bool:
    plain: Callable[[torch.Tensor], torch.Tensor] = module.forward
    forward = _packed_forward(module, plain)
    width = module.weight.shape[1 if type(module) is torch.nn.Linear else 0]
    draw = torch.Generator().manual_seed(0)
    probe = torch.randn((2, width), generator=draw)
    expected, found = plain(probe), forward(probe)
    apart = (found - expected).abs().max()
    if not bool(apart <= _TOLERANCE * expected.abs().max().clamp_min(1e-30)):
        return False
    module.forward = forward
    return True


def _packed_forward(
    module: Any, plain: Callable[[torch.Tensor], torch.Tensor]
) -> Callable[[torch.Tensor], torch.Tensor]:
    operators: Any = torch.ops.mkldnn
    weight, version, bias = module.weight, module.weight._version, module.bias
    # transformers' Conv1D is a linear layer with its weights transposed.
    rows = weight if type(module) is torch.nn.Linear else weight.t().contiguous()
    packed = operators._reorder_linear_weight(rows.detach(), _ROWS)

    def forward(inputs: torch.Tensor) -> torch.Tensor:
        # One row is a product with a vector, which packing slows; changed weights are not packed.
        stale = module.weight is not weight or weight._version != version
        if stale or torch.is_grad_enabled() or inputs.numel() == inputs.shape[-1]:
            return plain(inputs)
        if inputs.dtype != torch.float32:
            return plain(inputs)
        found: torch.Tensor = operators._linear_pointwise(inputs, packed, bias, "none", [], "")
        return found

    return forward
