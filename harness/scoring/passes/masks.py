"""Additive attention masks over a flat tree of tokens, in the form that an architecture takes.

Layers attend to everything before them, or to a sliding window, or to a chunk; a model whose
layers differ takes a dictionary by layer type. What a configuration says is only a proposal: the
canary (:mod:`steelyard.harness.scoring.canary`) decides whether it is right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

#: ``[1, 1, queries, keys]``, or such by layer type.
Mask: TypeAlias = torch.Tensor | dict[str, torch.Tensor]


@dataclass(frozen=True)
class MaskStyle:
    """How a model's layers look back.

    Attributes:
        kinds: the layer types that occur, such as ``("full_attention", "sliding_attention")``.
        window: the sliding window or the chunk in tokens; None where every layer sees everything.
    """

    kinds: tuple[str, ...]
    window: int | None

    @classmethod
    def of(cls, config: PreTrainedConfig) -> MaskStyle:
        """What a configuration says about its layers."""
        text = config.get_text_config()
        window = getattr(text, "sliding_window", None)
        if getattr(text, "use_sliding_window", True) is False:
            window = None
        kinds = sorted(set(getattr(text, "layer_types", None) or ()))
        if "chunked_attention" in kinds:
            window = getattr(text, "attention_chunk_size", None)
        if not kinds:
            kinds = ["sliding_attention" if window else "full_attention"]
        return cls(tuple(kinds), int(window) if window else None)

    def build(
        self,
        visible: torch.Tensor,
        query_positions: torch.Tensor,
        key_positions: torch.Tensor,
        dtype: torch.dtype,
    ) -> Mask:
        """The mask argument of a forward pass.

        Args:
            visible: ``[queries, keys]`` bool, ancestry alone.
            query_positions: ``[queries]`` positions in their sequences.
            key_positions: ``[keys]`` positions in theirs.
            dtype: the model's.

        Returns:
            ``[1, 1, queries, keys]`` of ``dtype``, or a dictionary of such by layer type.
        """
        masks = {
            kind: _additive(self._seen(kind, visible, query_positions, key_positions), dtype)
            for kind in self.kinds
        }
        return masks if len(masks) > 1 else next(iter(masks.values()))

    def _seen(
        self, kind: str, visible: torch.Tensor, queries: torch.Tensor, keys: torch.Tensor
    ) -> torch.Tensor:
        if kind == "sliding_attention" and self.window:
            return visible & (queries[:, None] - keys[None] < self.window)
        if kind == "chunked_attention" and self.window:
            return visible & (queries[:, None] // self.window == keys[None] // self.window)
        return visible


def _additive(seen: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    # The least finite number, as in transformers' own masks: less any score that is seen its
    # ``exp`` is 0 in every type, and a row that sees nothing is a mean and no NaN.
    mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
    return mask.masked_fill_(~seen, torch.finfo(dtype).min)[None, None]
