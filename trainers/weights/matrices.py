"""The weight matrices of a model's layers, whatever kind of module holds them.

Not all are ``torch.nn.Linear``: GPT-2's ``Conv1D`` holds them the other way round, and a mixture of
experts holds those of all experts in one tensor of three dimensions. What goes by linear layers
alone leaves them as they are, in silence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from steelyard.trainers.loops.libraries import torch, transformers


@dataclass(frozen=True)
class Matrix:
    """One parameter that holds a matrix, or several of one shape."""

    module: torch.nn.Module
    parameter: str
    """Its name in the module."""
    turned: bool
    """Whether it lies as (in, out)."""

    @property
    def values(self) -> torch.Tensor:
        """The parameter as (..., out, in); written to, it is the parameter that changes."""
        values: torch.Tensor = getattr(self.module, self.parameter)
        return values.mT if self.turned else values

    @property
    def each(self) -> list[torch.Tensor]:
        """Its matrices, (out, in) each."""
        return [self.values] if self.values.ndim == 2 else list(self.values)

    def as_it_lies(self, values: torch.Tensor) -> torch.Tensor:
        """Something of the shape of ``values`` in the parameter's own order."""
        return values.mT if self.turned else values


def matrices(model: transformers.PreTrainedModel) -> Iterator[Matrix]:
    """Every matrix of a layer; not the embedding, nor the head, which may be the embedding."""
    head = model.get_output_embeddings()
    for module in model.modules():
        if module is head or isinstance(module, torch.nn.Embedding):
            continue
        turned = isinstance(module, transformers.pytorch_utils.Conv1D)
        if turned or isinstance(module, torch.nn.Linear):
            yield Matrix(module, "weight", turned)
            continue
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.ndim == 3 and not isinstance(module, torch.nn.modules.conv._ConvNd):
                yield Matrix(module, name, bool(getattr(module, "is_transposed", False)))
