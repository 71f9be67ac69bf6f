"""Pruning: the smallest weights of the linear layers become zero, as torch.nn.utils.prune does it.

Unstructured magnitude pruning [Han et al. 2015, arXiv 1506.02626] and its N:M form, which keeps two
of every four weights [Mishra et al. 2021, arXiv 2104.08378]. Stored as plain weights: the zeros are
in the tensors, whose size does not change.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from steelyard.harness.checkpoints import finish, load_model, save_full
from steelyard.harness.environment import quiet
from steelyard.harness.plugins import Trainer, TrainJob
from steelyard.harness.records import Checkpoint
from steelyard.trainers.loops.libraries import pruning, torch
from steelyard.trainers.loops.method import counts, merged_note
from steelyard.trainers.weights.matrices import Matrix, matrices


class Prune(Trainer):
    """Set the smallest weights of every linear layer but the head to zero; nothing is trained."""

    libraries: ClassVar[tuple[str, ...]] = ("torch.nn.utils.prune",)

    amount: float = Field(0.5, gt=0, lt=1, description="Share of the weights that become zero.")
    scope: Literal["layer", "global"] = Field(
        "layer", description="The share holds in each layer, or over all layers together."
    )
    structure: Literal["none", "rows", "2:4"] = Field(
        "none", description="Single weights, whole output rows, or two of every four in a row."
    )

    @model_validator(mode="after")
    def _structures_are_per_layer(self) -> Self:
        if self.structure != "none" and self.scope == "global":
            raise ValueError(f"structure {self.structure} is counted in each layer: scope: layer")
        if self.structure == "2:4" and self.amount != 0.5:
            raise ValueError("structure 2:4 prunes one half: leave amount out")
        return self

    def train(self, job: TrainJob) -> Checkpoint:
        """Prune and store. Raises ``CheckpointError`` where the start is quantised."""
        job.progress(0, 1, f"pruning {self.amount:.0%}")
        model, _ = load_model(job.start, trainable=True)
        layers = list(matrices(model))
        _prune(layers, self)
        with quiet():
            save_full(model, job)
        job.progress(1, 1, f"pruned {self.amount:.0%}")
        zeros = sum(int((layer.values == 0).sum()) for layer in layers)
        count = sum(layer.values.numel() for layer in layers)
        return finish(
            job,
            trainer=self,
            name="prune",
            format="full",
            parameters=counts(model)["parameters"],
            parameters_trained=0,
            notes=(
                f"sparsity {zeros / count:.4f}: {zeros} of {count} weights of {len(layers)} linear "
                "layers are zero",
                *merged_note(job),
            ),
        )


def _prune(layers: list[Matrix], options: Prune) -> None:
    if options.scope == "global":
        places = [(layer.module, layer.parameter) for layer in layers]
        pruning.global_unstructured(places, pruning.L1Unstructured, amount=options.amount)
    for layer in layers:
        place = (layer.module, layer.parameter)
        if options.structure == "rows":
            pruning.custom_from_mask(*place, layer.as_it_lies(_rows(layer.values, options.amount)))
        elif options.structure == "2:4":
            pruning.custom_from_mask(*place, layer.as_it_lies(_two_of_four(layer.values)))
        elif options.scope == "layer":
            pruning.l1_unstructured(*place, amount=options.amount)
        pruning.remove(*place)


def _rows(values: torch.Tensor, amount: float) -> torch.Tensor:
    """A mask that drops the rows of least norm of each matrix, as torch's ``ln_structured``."""
    norms = values.detach().norm(dim=-1)
    count = norms.shape[-1]
    largest = norms.topk(count - round(amount * count), dim=-1).indices
    return torch.zeros_like(norms).scatter_(-1, largest, 1.0)[..., None].expand_as(values)


def _two_of_four(values: torch.Tensor) -> torch.Tensor:
    """A mask that keeps the two largest of every four weights along a row; a rest is kept."""
    whole = values.shape[-1] - values.shape[-1] % 4
    groups = values.detach()[..., :whole].abs().unflatten(-1, (-1, 4))
    largest = torch.zeros_like(groups).scatter_(-1, groups.topk(2, dim=-1).indices, 1.0)
    mask = torch.ones_like(values)
    mask[..., :whole] = largest.flatten(-2)
    return mask
