"""Rotary embeddings whose frequencies depend on the length of what runs.

``longrope`` (long Phi-3) and dynamic NTK take other frequencies, for every position of a pass, once
the pass reaches beyond the length that the model was trained at. So a longer sequence may share no
pass with another and no kept prefix, and a shorter one none with a longer. What the canary sees is
too short to tell.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def longest_alike(model: PreTrainedModel) -> int | None:
    """Sequences of up to so many tokens have the same frequencies; None where all have."""
    lengths = [_switch(module, kind, layers) for module, layers, kind in _embeddings(model)]
    return min(lengths, default=None)


def forget(model: PreTrainedModel) -> None:
    """Back to the frequencies of short sequences; dynamic NTK keeps those of the longest so far."""
    for module, layers, kind in _embeddings(model):
        if "dynamic" in kind:
            prefix = f"{layers}_" if layers else ""
            original = getattr(module, f"{prefix}original_inv_freq")
            module.register_buffer(f"{prefix}inv_freq", original, persistent=False)
            setattr(module, f"{prefix}max_seq_len_cached", module.original_max_seq_len)


def _embeddings(model: PreTrainedModel) -> Iterator[tuple[torch.nn.Module, str, str]]:
    """Each such embedding, the type of the layers that it serves or ``""``, and its kind."""
    for module in model.modules():
        kinds = getattr(module, "rope_type", None)
        if not isinstance(kinds, dict):
            kinds = {"": kinds}
        for layers, kind in kinds.items():
            if isinstance(kind, str) and ("dynamic" in kind or kind == "longrope"):
                yield module, layers, kind


def _switch(module: torch.nn.Module, kind: str, layers: str) -> int:
    if "dynamic" in kind:
        return int(module.original_max_seq_len)
    parameters = module.config.rope_parameters
    return int((parameters[layers] if layers else parameters)["original_max_position_embeddings"])
