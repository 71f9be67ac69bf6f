"""Log-probabilities of asked tokens, with the head applied to asked positions only.

The rows are chosen in front of the model's own head, so that a logit scale or a soft-cap behind it
stays the model's. The reduction is in fp32 whatever the model's type: in bf16 two answers can tie
exactly, and sums lose whole units.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from steelyard.harness.scoring.passes import fused_layers

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_GPU_ROWS_AT_ONCE = 512
_CPU_VALUES_AT_ONCE = 2**18


@contextmanager
def only_rows(model: PreTrainedModel, rows: torch.Tensor, length: int) -> Iterator[None]:
    """Within this block the model's logits are ``[1, len(rows), vocabulary]``.

    ``rows`` index the flattened ``batch x length`` positions of the next forward pass; virtual
    tokens that a prompt-tuning adapter puts in front do not count. A fused last layer chooses them
    itself and spares the rest of its own work.
    """
    head = model.get_output_embeddings()
    last = fused_layers.last(model)

    def chosen(hidden: torch.Tensor) -> torch.Tensor:
        return hidden[:, -length:].reshape(1, -1, hidden.shape[-1])[:, rows]

    def choose(_: object, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        if last is not None and last.rows is None:
            return inputs
        return (chosen(inputs[0]), *inputs[1:])

    handle = head.register_forward_pre_hook(choose)
    if last is not None:
        last.rows = chosen
    try:
        yield
    finally:
        handle.remove()
        if last is not None:
            last.rows = None


def token_scores(
    logits: torch.Tensor, rows: torch.Tensor, targets: torch.Tensor, greedy: bool = True
) -> tuple[list[float], list[bool]]:
    """Log-probability in nats of ``targets[i]`` at ``logits[rows[i]]``, and whether it is the top.

    Ties go to the token with the smallest id. ``greedy=False`` skips the search for the top.
    """
    tops, log_sums = [], []
    step = _rows_at_once(logits)
    for start in range(0, logits.shape[0], step):
        part = logits[start : start + step].float()
        # log sum exp(x) = top + log sum exp(x - top): the largest term is exp(0) = 1, so nothing
        # overflows and what underflows is below the rounding of the sum.
        top = part.amax(-1, keepdim=True)
        tops.append(top[:, 0])
        log_sums.append((part - top).exp_().sum(-1).log_())
    top, log_sum = torch.cat(tops)[rows], torch.cat(log_sums)[rows]
    asked = logits[rows, targets].float()
    flags = torch.zeros_like(rows, dtype=torch.bool)
    if greedy:
        # Finding where the top is takes longer than finding how high it is, and a target that is
        # not as high cannot be it; of those that are, the first of equals counts.
        at = (asked == top).nonzero()[:, 0]
        flags[at] = logits[rows[at]].argmax(-1) == targets[at]
    return (asked - top - log_sum).tolist(), flags.tolist()


def _rows_at_once(logits: torch.Tensor) -> int:
    """On a CPU what stays in the cache between the three passes over it; on a GPU large kernels."""
    if logits.device.type != "cpu":
        return _GPU_ROWS_AT_ONCE
    return int(max(1, _CPU_VALUES_AT_ONCE // logits.shape[-1]))
