"""Linear layers whose weights are laid out once for the processor's matrix product.

For every product torch's fp32 path on a CPU copies the weights into its kernel's own layout anew.
oneDNN takes weights that are in its layout already (what ``torch.compile`` calls freezing), which
is up to a fifth faster at the sizes of a pack, nearly twice as fast in the head, and more for the
few rows of a decoding step. The arithmetic is fp32 all the same; only the order of sums differs.

The layer's own weights stay where they are, for whoever reads them, so this costs their size in
memory once more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeGuard

import torch

from steelyard.harness.scoring import memory

if TYPE_CHECKING:
    from transformers import PreTrainedModel

#: Packed copies may take this share of the machine's memory. Of all of it, not of what is free: a
#: resumed run must take the same kernels, or its scores differ in the last bits.
_SHARE_OF_MEMORY = 0.125
_ROWS = 192
_TOLERANCE = 1e-4


def pack(model: PreTrainedModel) -> list[torch.nn.Module]:
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


def unpack(layers: list[torch.nn.Module]) -> None:
    """Put layers back to their plain product."""
    for layer in layers:
        del layer.forward


def packed(model: PreTrainedModel) -> list[torch.nn.Module]:
    """A model's packed layers."""
    return [m for m in model.modules() if isinstance(vars(m).get("forward"), PackedLinear)]


class PackedLinear:
    """The ``forward`` of a packed layer, and the same with a sum in one pass.

    What the packed weights do not serve goes to the layer's plain product: gradients, other types,
    weights that have changed since, and a single row, which is a product with a vector.
    """

    def __init__(self, module: torch.nn.Module) -> None:
        self._operators = torch.ops.mkldnn
        self._module = module
        self._plain: Callable[[torch.Tensor], torch.Tensor] = module.forward
        self._weight, self._version, self._bias = module.weight, module.weight._version, module.bias
        # transformers' Conv1D is a linear layer with its weights transposed.
        is_linear = type(module) is torch.nn.Linear
        rows = self._weight if is_linear else self._weight.t().contiguous()
        self.width = int(rows.shape[1])
        self._packed = self._operators._reorder_linear_weight(rows.detach(), _ROWS)

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """The layer's output."""
        if not self._serves(inputs):
            return self._plain(inputs)
        output: torch.Tensor = self._operators._linear_pointwise(
            inputs, self._packed, self._bias, "none", [], ""
        )
        return output

    def plus(self, inputs: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        """``output + other``, where ``other`` has the output's shape."""
        if not self._serves(inputs):
            return self._plain(inputs) + other
        output: torch.Tensor = self._operators._linear_pointwise.binary(
            inputs, other, self._packed, self._bias, "add"
        )
        return output

    def _serves(self, inputs: torch.Tensor) -> bool:
        weight = self._module.weight
        current = weight is self._weight and weight._version == self._version
        current = current and self._module.bias is self._bias
        many = inputs.numel() > inputs.shape[-1]
        return current and many and inputs.dtype == torch.float32 and not torch.is_grad_enabled()


def _is_plain(module: torch.nn.Module) -> bool:
    """Whether a module is a linear layer of fp32 weights that nobody has changed the ways of."""
    if type(module) is not torch.nn.Linear and type(module).__name__ != "Conv1D":
        return False
    weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
    if bias is not None and not _is_dense(bias):
        return False
    return _is_dense(weight) and weight.dim() == 2 and "forward" not in vars(module)


def _is_dense(tensor: object) -> TypeGuard[torch.nn.Parameter]:
    """Whether a parameter holds fp32 numbers itself.

    A quantised weight (torchao's) is a subclass of Tensor that says "float32" of itself, and a
    Parameter made of one passes ``isinstance``: its own type tells, and that of what it holds.
    """
    return (
        isinstance(tensor, torch.nn.Parameter)
        and type(tensor) is torch.nn.Parameter
        and type(tensor.data) is torch.Tensor
        and tensor.dtype == torch.float32
        and tensor.layout is torch.strided
    )


def _pack_layer(module: torch.nn.Module) -> bool:
    packed = PackedLinear(module)
    draw = torch.Generator().manual_seed(0)
    probe = torch.randn((2, packed.width), generator=draw)
    expected = module.forward(probe)
    apart = (packed(probe) - expected).abs().max()
    # Another order of n terms is off by about sqrt(n) roundings, a few 1e-6 of the largest output;
    # a wrong layout or a missing bias is off by all of it.
    if not bool(apart <= _TOLERANCE * expected.abs().max().clamp_min(1e-30)):
        return False
    module.forward = packed
    return True
