"""A key-value cache that is written in place and cropped by a number.

transformers' ``DynamicCache`` concatenates, which copies the whole prefix in every layer of every
pack, and its sliding-window layers cannot be cropped. Here each layer owns one buffer; sliding
windows are the mask's business (see :mod:`steelyard.harness.scoring.passes.masks`).
"""

from __future__ import annotations

import torch
from transformers.cache_utils import Cache, DynamicLayer

_GROWTH = 256


def larger(filled: torch.Tensor | None, like: torch.Tensor, rows: int, needed: int) -> torch.Tensor:
    """A buffer ``[rows, heads, capacity, head size]`` with room for ``needed`` positions.

    Heads, size, type and device are those of ``like``; what ``filled`` holds is copied.
    """
    capacity = -(-needed // _GROWTH) * _GROWTH
    # Zeros, not whatever memory holds: what is masked counts 0 times its value, and 0 times a NaN
    # is NaN.
    buffer = like.new_zeros((rows, like.shape[1], capacity, like.shape[-1]))
    if filled is not None:
        buffer[:, :, : filled.shape[-2]] = filled
    return buffer


class BufferLayer(DynamicLayer):
    """Keys and values ``[batch, heads, capacity, head size]``; ``length`` of it is used."""

    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        self.is_initialized: bool = False
        self.length = 0

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **options: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append and return views of everything so far."""
        needed = self.length + key_states.shape[-2]
        if not self.is_initialized or needed > self.keys.shape[-2]:
            self._grow(key_states, value_states, needed)
        self.keys[:, :, self.length : needed] = key_states
        self.values[:, :, self.length : needed] = value_states
        self.length = needed
        return self.keys[:, :, :needed], self.values[:, :, :needed]

    def place(
        self, key_states: torch.Tensor, value_states: torch.Tensor, slots: torch.Tensor, end: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write into given slots and return views of the first ``end``."""
        if not self.is_initialized or end > self.keys.shape[-2]:
            self._grow(key_states, value_states, end)
        self.keys.index_copy_(2, slots, key_states)
        self.values.index_copy_(2, slots, value_states)
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def get_seq_length(self) -> int:
        """How many positions are used."""
        return self.length

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Key length with ``query_length`` more positions, and the offset of the first."""
        return self.length + query_length, 0

    def _grow(self, keys: torch.Tensor, values: torch.Tensor, needed: int) -> None:
        began = self.is_initialized
        self.keys = larger(self.keys if began else None, keys, keys.shape[0], needed)
        self.values = larger(self.values if began else None, values, values.shape[0], needed)
        self.dtype, self.device = keys.dtype, keys.device
        self.is_initialized = True


class BufferCache(Cache):
    """Buffers for every layer, cropped together.

    With :attr:`slots` set, new positions go there instead of to the end: rows that are being
    generated come and go, and the mask says which slots are whose.
    """

    def __init__(self) -> None:
        super().__init__(layer_class_to_replicate=BufferLayer)
        self.slots: torch.Tensor | None = None
        self.end = 0

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        layer_idx: int,
        *args: object,
        **options: object,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store one layer's new keys and values; return all that may be looked at."""
        if self.slots is None:
            stored: tuple[torch.Tensor, torch.Tensor] = super().update(
                key_states, value_states, layer_idx, *args, **options
            )
            return stored
        while len(self.layers) <= layer_idx:
            self.layers.append(BufferLayer())
        layer: BufferLayer = self.layers[layer_idx]
        return layer.place(key_states, value_states, self.slots, self.end)

    def keep(self, length: int) -> None:
        """Forget every position from ``length`` on."""
        for layer in self.layers:
            layer.length = min(layer.length, length)


class PassingCache(Cache):
    """Keeps nothing: for a pass without a prefix that none will follow."""

    def __init__(self) -> None:
        super().__init__(layers=[])

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        layer_idx: int,
        *args: object,
        **options: object,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The layer's own keys and values."""
        return key_states, value_states

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """No position is kept."""
        return 0

    def get_mask_sizes(self, query_length: int, layer_idx: int = 0) -> tuple[int, int]:
        """Key length of a pass, and the offset of the first."""
        return query_length, 0
