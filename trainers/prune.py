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
from steelyard.trainers.loops.libraries import pruning, torch, transformers
from steelyard.trainers.loops.method import counts, merged_note


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
        layers = _linear_layers(model)
        _prune(layers, self)
        with quiet():
            save_full(model, job)
        job.progress(1, 1, f"pruned {self.amount:.0%}")
        zeros = sum(int((layer.weight == 0).sum()) for layer in layers)
        count = sum(layer.weight.numel() for layer in layers)
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


def _linear_layers(model: transformers.PreTrainedModel) -> list[torch.nn.Linear]:
    """Every linear layer but the head, whose weights may be the embedding's."""
    head = model.get_output_embeddings()
    return [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m is not head]


def _prune(layers: list[torch.nn.Linear], options: Prune) -> None:
    if options.scope == "global":
        places = [(layer, "weight") for layer in layers]
        pruning.global_unstructured(places, pruning.L1Unstructured, amount=options.amount)
    for layer in layers:
        if options.structure == "rows":
            pruning.ln_structured(layer, "weight", amount=options.amount, n=2, dim=0)
        elif options.structure == "2:4":
            pruning.custom_from_mask(layer, "weight", _two_of_four(layer.weight))
        elif options.scope == "layer":
            pruning.l1_unstructured(layer, "weight", amount=options.amount)
        pruning.remove(layer, "weight")


def _two_of_four(weight: torch.Tensor) -> torch.Tensor:
    """A mask that keeps the two largest of every four weights along a row; a rest is kept."""
    rows, columns = weight.shape
    whole = columns - columns % 4
    groups = weight.detach()[:, :whole].abs().reshape(rows, -1, 4)
    largest = torch.zeros_like(groups).scatter_(-1, groups.topk(2, dim=-1).indices, 1.0)
    mask = torch.ones_like(weight)
    mask[:, :whole] = largest.reshape(rows, whole)
    return mask
