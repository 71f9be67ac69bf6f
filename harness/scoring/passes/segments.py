"""Attention over a flat tree, a segment at a time.

Under one mask every token of a pack is multiplied with every other, of which a tree needs little: a
segment (what one leaf adds to those before it) looks at its ancestors and at itself. So within
:func:`in_segments` a model whose attention is torch's runs it once for each segment, over the keys
that the segment may see, with its part of the same mask. Everything else stays one sequence. The
canary (:mod:`steelyard.harness.scoring.canary`) says whether a model takes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NAME = "steelyard_segments"
#: A call costs as much as so many pairs of positions; segments must save more than that.
_PAIRS_A_CALL = 4096
_WORTH = 0.7
#: Layers share a mask or two; where each has its own, only the last are kept.
_MOST_MASKS = 4


class Segments:
    """What each run of a pack's positions looks at.

    Args:
        spans: ``(begin, end, ancestors)`` for each segment, in order and without gaps;
            ``ancestors`` are positions before ``begin``.
    """

    def __init__(
        self, spans: Sequence[tuple[int, int, NDArray[np.int64]]], device: torch.device
    ) -> None:
        self.count = spans[-1][1]
        self._parts: list[tuple[slice, slice | torch.Tensor]] = []
        self.pairs = 0
        for begin, end, ancestors in spans:
            first = begin - len(ancestors)
            keys: slice | torch.Tensor = slice(first, end)
            if not np.array_equal(ancestors, np.arange(first, begin)):
                every = np.concatenate([ancestors, np.arange(begin, end)])
                keys = torch.from_numpy(every).to(device)
            self._parts.append((slice(begin, end), keys))
            # What torch multiplies for this segment: its rows with all the keys that it may see.
            self.pairs += (end - begin) * (end - begin + len(ancestors)) + _PAIRS_A_CALL
        self._masks: dict[int, tuple[torch.Tensor, list[torch.Tensor]]] = {}

    @property
    def worth(self) -> bool:
        """Whether they take less than one mask over everything."""
        return self.pairs < _WORTH * self.count**2

    def attention(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: torch.Tensor,
        scale: float | None,
    ) -> torch.Tensor:
        """Of ``[batch, heads, positions, head size]``: ``[batch, positions, heads, head size]``."""
        grouped = query.shape[1] != key.shape[1]
        queries = query.split([rows.stop - rows.start for rows, _ in self._parts], dim=2)
        # ``index_select`` copies all of what is not contiguous, for every segment anew.
        by_position = [states.transpose(1, 2).contiguous() for states in (key, value)]
        outputs = []
        for own, (_, keys), part in zip(queries, self._parts, self._cut(mask), strict=True):
            seen = [_at_positions(states, keys).transpose(1, 2) for states in by_position]
            # A key outside the segment's view has weight 0 under the whole mask: leaving it out of
            # the softmax leaves its sum as it is, but for the order in which it is added up.
            attended = torch.nn.functional.scaled_dot_product_attention(
                own, *seen, attn_mask=part, scale=scale, enable_gqa=grouped
            )
            outputs.append(attended.transpose(1, 2))
        return torch.cat(outputs, dim=1)

    def _cut(self, mask: torch.Tensor) -> list[torch.Tensor]:
        """The mask's part for each segment; layers share a mask, so it is cut once."""
        if id(mask) not in self._masks:
            if len(self._masks) == _MOST_MASKS:
                self._masks.clear()
            parts = [mask[:, :, rows][..., keys].contiguous() for rows, keys in self._parts]
            self._masks[id(mask)] = mask, parts  # kept, so that no other mask gets its id
        return self._masks[id(mask)][1]


def _at_positions(states: torch.Tensor, keys: slice | torch.Tensor) -> torch.Tensor:
    """Positions ``keys`` of ``[batch, positions, heads, size]``."""
    return states[:, keys] if isinstance(keys, slice) else states.index_select(1, keys)


_active: Segments | None = None


def _attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    **options: object,
) -> tuple[torch.Tensor, None]:
    """What transformers calls; without active segments of this length it is torch's attention."""
    count = None if _active is None else _active.count
    ours = attention_mask is not None and options.get("position_bias") is None
    if not ours or not query.shape[2] == key.shape[2] == count:
        attended, _ = sdpa_attention_forward(module, query, key, value, attention_mask, **options)
        return attended, None
    assert _active is not None and attention_mask is not None
    scale = options.get("scaling")
    assert scale is None or isinstance(scale, (int, float))
    return _active.attention(query, key, value, attention_mask, scale), None


def serves(model: PreTrainedModel) -> bool:
    """Whether a model's attention is torch's, which segments stand in for."""
    return getattr(model.config.get_text_config(), "_attn_implementation", None) == "sdpa"


@contextmanager
def in_segments(model: PreTrainedModel, segments: Segments | None) -> Iterator[None]:
    """Within this block the model's attention runs by segments; None leaves it as it is."""
    if segments is None:
        yield
        return
    global _active
    AttentionInterface.register(NAME, _attention)
    config = model.config.get_text_config()
    _active, config._attn_implementation = segments, NAME
    try:
        yield
    finally:
        _active, config._attn_implementation = None, "sdpa"
