"""Log-probabilities of asked tokens, with the head applied to asked positions only.

The rows are chosen in front of the model's own head, so that a logit scale or a soft-cap behind it
stays the model's. The reduction is in fp32 whatever the model's type: in bf16 two answers can tie
exactly, and sums lose whole units.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

_ROWS_AT_ONCE = 512


@contextmanager
def only_rows(model: Any, rows: torch.Tensor, length: int) -> Iterator[None]:
    """Within this block the model's logits are ``[1, len(rows), vocabulary]``.

    ``rows`` index the flattened ``batch x length`` positions of the next forward pass; virtual
    tokens that a prompt-tuning adapter puts in front do not count.
    """
    head = model.get_output_embeddings()

    def choose(_: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden = inputs[0][:, -length:]
        return (hidden.reshape(1, -1, hidden.shape[-1])[:, rows], *inputs[1:])

    handle = head.register_forward_pre_hook(choose)
    try:
        yield
    finally:
        handle.remove()


def token_scores(
    logits: torch.Tensor, rows: torch.Tensor, targets: torch.Tensor, greedy: bool = True
) -> tuple[list[float], list[bool]]:
    """Log-probability in nats of ``targets[i]`` at ``logits[rows[i]]``, and whether it is the top.

    Ties go to the token with the smallest id. ``greedy=False`` skips the search for the top.
    """
    scores, top = [], []
    for start in range(0, logits.shape[0], _ROWS_AT_ONCE):
        part = logits[start : start + _ROWS_AT_ONCE].float()
        scores.append(part.logsumexp(-1))
        if greedy:
            top.append(part.argmax(-1))
    chosen = logits[rows, targets].float() - torch.cat(scores)[rows]
    flags = torch.cat(top)[rows] == targets if greedy else torch.zeros_like(rows)
    return chosen.tolist(), flags.bool().tolist()
