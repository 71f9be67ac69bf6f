"""A loss that is a mean over tokens, right where one optimizer step is several forward passes.

TRL's ORPO takes the chosen answers' own loss, and its DPO the ``sft`` term, as the mean over the
tokens of one forward pass; the trainer then averages the passes. So a token in a pass of short
answers counted for more, and eight rows at once trained another model than four and four. Here each
pass weighs as many tokens as it holds of all that the step sees (of every process), which is the
mean over the whole step; a step of one pass is TRL's to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from steelyard.trainers.loops.libraries import torch, trl, trl_orpo

Batch: TypeAlias = "dict[str, torch.Tensor]"


class TokenShares:
    """Stands before a trainer of transformers; ``tokens_of`` says what its loss averages."""

    accelerator: Any
    model: Any
    _passes = 1
    _tokens_of_a_pass: torch.Tensor | None = None
    """Mean over the passes of a step, and over the processes."""

    def tokens_of(self, batch: Batch) -> torch.Tensor:
        """How many tokens of ``batch`` the loss is a mean over."""
        raise NotImplementedError

    def get_batch_samples(
        self, epoch_iterator: Iterator[Batch], num_batches: int, device: torch.device
    ) -> tuple[list[Batch], Any]:
        """As transformers', and the tokens of the whole step counted."""
        batches, items = super().get_batch_samples(  # type: ignore[misc]
            epoch_iterator, num_batches, device
        )
        self._passes, self._tokens_of_a_pass = len(batches), None
        if batches:
            tokens = sum(self.tokens_of(batch) for batch in batches)
            every = self.accelerator.gather(torch.as_tensor(tokens, device=device))
            self._tokens_of_a_pass = every.float().mean() / len(batches)
        return batches, items

    def share_of(self, batch: Batch) -> torch.Tensor | float:
        """What a pass's mean weighs in the step's; 1 for a pass that stands alone, or looks."""
        alone = self._passes == 1 and self.accelerator.num_processes == 1
        if alone or self._tokens_of_a_pass is None or not self.model.training:
            return 1.0
        return self.tokens_of(batch) / self._tokens_of_a_pass


def orpo_trainer() -> type[trl_orpo.ORPOTrainer]:
    """TRL's ORPOTrainer with the chosen answers' loss over all tokens of a step."""

    class Orpo(TokenShares, trl_orpo.ORPOTrainer):
        def tokens_of(self, batch: Batch) -> torch.Tensor:
            if self.is_encoder_decoder:
                return (batch["chosen_labels"] != -100).sum()
            # Of a prompt with its answer, as TRL counts: every token but each row's first.
            return batch["chosen_attention_mask"][:, 1:].sum()

        def concatenated_forward(self, model: Any, batch: Batch) -> tuple[Any, ...]:
            outputs = list(super().concatenated_forward(model, batch))
            outputs[4] = outputs[4] * self.share_of(batch)
            return tuple(outputs)

    return Orpo


def dpo_trainer() -> type[trl.DPOTrainer]:
    """TRL's DPOTrainer with the ``sft`` term over all tokens of a step."""

    class Dpo(TokenShares, trl.DPOTrainer):
        loss_weights: Any

        def tokens_of(self, batch: Batch) -> torch.Tensor:
            chosen, _ = batch["completion_mask"][..., 1:].chunk(2, dim=0)
            return chosen.sum()

        def compute_loss(self, model: Any, inputs: Batch, *others: Any, **named: Any) -> Any:
            weights = self.loss_weights
            if "sft" in self.loss_types:
                share = self.share_of(inputs)
                self.loss_weights = [
                    weight * share if kind == "sft" else weight
                    for kind, weight in zip(self.loss_types, weights, strict=True)
                ]
            try:
                return super().compute_loss(model, inputs, *others, **named)
            finally:
                self.loss_weights = weights

    return Dpo
