"""Positions are counted from a row's first token, whatever stands in front of it as padding.

TRL's GRPO and RLOO pad prompts on the left and give the model no positions. A model with learned
positions (GPT-2) then trains each row a few positions along from where it is asked; generation,
which counts them, and every later evaluation ask it elsewhere. A rotary model does not mind.
"""

from __future__ import annotations

import inspect
from typing import Any

from steelyard.trainers.loops.libraries import torch, transformers


def count_positions(trainer: transformers.Trainer) -> None:
    """Have the trainer's model, and its reference, told positions where rows are padded in front.

    Only calls without a cache and without positions of their own are.
    """
    for model in filter(None, (trainer.model, getattr(trainer, "ref_model", None))):
        plain = model.get_base_model() if hasattr(model, "get_base_model") else model
        # The backbone: PEFT and TRL go past the hooks of what stands around it.
        backbone = plain.base_model
        if "position_ids" in inspect.signature(type(backbone).forward).parameters:
            backbone.register_forward_pre_hook(_with_positions, with_kwargs=True)


def _with_positions(
    _: torch.nn.Module, positional: tuple[Any, ...], named: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    mask = named.get("attention_mask")
    told = named.get("position_ids") is not None or named.get("past_key_values") is not None
    if mask is None or mask.ndim != 2 or told or bool(mask[:, 0].all()):
        return None
    return positional, named | {"position_ids": (mask.long().cumsum(-1) - 1).clamp(min=0)}
