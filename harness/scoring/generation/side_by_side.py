"""Generation for prompts that share little: each row has keys and values of its own.

In one flat sequence (:mod:`steelyard.harness.scoring.generation.shared_prefix`) every row is
multiplied with every slot, which is what a shared prefix wants. Long prompts of their own would
fill the slots after a few rows, so here they lie side by side, ``[rows, heads, positions, head
size]``, and a row is multiplied with its own positions alone. Prompts are computed one at a time:
they are long enough.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from transformers.cache_utils import Cache, DynamicLayer

from steelyard.harness.scoring import memory
from steelyard.harness.scoring.generation.shared_prefix import Prompt, Row, extend
from steelyard.harness.scoring.passes.flat import AnchoredCache, FlatPass
from steelyard.harness.scoring.passes.kv_cache import BufferCache, larger
from steelyard.harness.scoring.passes.masks import Mask, MaskStyle

#: Most rows that decode together, and most positions that they may hold, on a CPU and on a GPU.
MOST_ROWS = {"cpu": 16, "cuda": 128}
MOST_POSITIONS = {"cpu": 32_768, "cuda": 262_144}
#: What they may hold of the memory: of all of it, not of what is free, for a resumed run must batch
#: alike.
_SHARE_OF_MEMORY = 0.1


class SideBySide:
    """Generates for packs of prompts, a row of a batch each."""

    def __init__(self, flat: FlatPass) -> None:
        self.flat = flat
        self._model = flat.model
        self._style = MaskStyle.of(flat.model.config)
        self._anchored = AnchoredCache(flat)
        kind = flat.model.device.type
        self._most_rows = MOST_ROWS.get(kind, MOST_ROWS["cuda"])
        self._most_positions = MOST_POSITIONS.get(kind, MOST_POSITIONS["cuda"])
        self._most_bytes = int(_SHARE_OF_MEMORY * memory.total_bytes(flat.model.device))

    def forget(self) -> None:
        """Drop the kept prefix."""
        self._anchored = AnchoredCache(self.flat)

    def run(
        self, prompts: Sequence[Prompt], anchors: tuple[int, ...], budget: int
    ) -> list[list[int]]:
        """The generated tokens of each prompt; arguments as in ``FlatGeneration.run``."""
        prefix = self._anchored.at(prompts[0].tokens, anchors)
        longest = max(len(prompt.tokens) + prompt.most for prompt in prompts)
        room = max(1, min(len(prompts), self._most_rows, self._most_positions // longest))
        cache = _RowsCache(room)
        done: list[list[int]] = [[] for _ in prompts]
        waiting = list(range(len(prompts)))[::-1]
        active: list[Row] = []
        while waiting or active:
            while waiting and len(active) < cache.rows:
                row = Row(prompts[waiting[-1]], waiting.pop())
                logits = self._entered(row, prefix, anchors, budget)
                if not active:  # now it is known what a position takes
                    cache.fit(prefix, longest, self._most_bytes)
                cache.take(len(active), prefix)
                prefix.keep(anchors[-1] if anchors else 0)
                extend([row], logits)
                active.append(row)
                _leave(active, done, cache)
            if active:
                extend(active, self._step(active, cache))
                _leave(active, done, cache)
        return done

    def _entered(
        self, row: Row, prefix: BufferCache, anchors: tuple[int, ...], budget: int
    ) -> torch.Tensor:
        """Run a prompt on top of the prefix; logits after its last token."""
        depth = anchors[-1] if anchors else 0
        tokens = row.prompt.tokens
        logits = torch.empty(0)
        for begin in range(depth, len(tokens), budget):
            end = min(begin + budget, len(tokens))
            seen = np.tri(end - begin, end, begin, dtype=np.bool_)
            asked = np.array([end - begin - 1] if end == len(tokens) else [], dtype=np.int64)
            part = np.arange(begin, end)
            logits = self.flat(prefix, tokens[begin:end], part, seen, np.arange(end), asked)
        return logits

    def _step(self, rows: list[Row], cache: _RowsCache) -> torch.Tensor:
        """One token of each row."""
        device = self._model.device
        self.flat.tokens += len(rows)
        positions = torch.tensor([row.position for row in rows], device=device)
        cache.begin(positions)
        keys = torch.arange(cache.end, device=device)
        # Beyond a row's own position lie zeros, or what a longer row left that was there before it.
        mask = self._style.build(
            keys[None] <= positions[:, None], positions, keys, self._model.dtype
        )
        tokens = torch.tensor([[row.generated[-1]] for row in rows], device=device)
        logits: torch.Tensor = self._model(
            input_ids=tokens,
            attention_mask=_one_a_row(mask),
            position_ids=positions[:, None],
            past_key_values=cache,
            use_cache=True,
        ).logits[:, -1]
        return logits


def _leave(active: list[Row], done: list[list[int]], cache: _RowsCache) -> None:
    """Take finished rows out; the last row moves into the gap."""
    for index in reversed(range(len(active))):
        if active[index].finished:
            done[active[index].place] = active[index].generated
            last = active.pop()
            if index < len(active):
                active[index] = last
                cache.move(len(active), index)


def _one_a_row(mask: Mask) -> Mask:
    """``[1, 1, rows, keys]`` as ``[rows, 1, 1, keys]``: each row's one query."""
    if isinstance(mask, dict):
        return {kind: part.permute(2, 1, 0, 3) for kind, part in mask.items()}
    return mask.permute(2, 1, 0, 3)


class _RowsLayer(DynamicLayer):
    """Keys and values ``[rows, heads, capacity, head size]`` of one layer."""

    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self, rows: int) -> None:
        super().__init__()
        self._rows = rows
        self.is_initialized: bool = False

    def hold(self, positions: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Have room for so many positions of each row, for keys and values like these."""
        if self.is_initialized and positions <= self.keys.shape[-2]:
            return
        began = self.is_initialized
        self.keys = larger(self.keys if began else None, keys, self._rows, positions)
        self.values = larger(self.values if began else None, values, self._rows, positions)
        self.is_initialized = True


class _RowsCache(Cache):
    """A row each: prompts are copied in, and new tokens written at each row's own position."""

    def __init__(self, rows: int) -> None:
        super().__init__(layers=[])
        self.rows = rows
        self._at: torch.Tensor = torch.empty(0)
        self._index: torch.Tensor = torch.empty(0)
        self.end = 0

    def fit(self, prompt: BufferCache, longest: int, most_bytes: int) -> None:
        """Have no more rows than fit, each as long as the longest, before the first is taken."""
        if self.layers:
            return
        # Bytes of one position of one row: heads times head size, keys and values of every layer.
        position = sum(
            part.element_size() * part.shape[1] * part.shape[3]
            for layer in prompt.layers
            for part in (layer.keys, layer.values)
        )
        self.rows = max(1, min(self.rows, most_bytes // (longest * position)))

    def take(self, row: int, prompt: BufferCache) -> None:
        """Copy a prompt's keys and values into a row."""
        for number, theirs in enumerate(prompt.layers):
            if number == len(self.layers):
                self.layers.append(_RowsLayer(self.rows))
            ours: _RowsLayer = self.layers[number]
            ours.hold(theirs.length, theirs.keys, theirs.values)
            ours.keys[row, :, : theirs.length] = theirs.keys[0, :, : theirs.length]
            ours.values[row, :, : theirs.length] = theirs.values[0, :, : theirs.length]

    def move(self, row: int, to: int) -> None:
        """Copy one row over another."""
        for layer in self.layers:
            layer.keys[to] = layer.keys[row]
            layer.values[to] = layer.values[row]

    def begin(self, positions: torch.Tensor) -> None:
        """The next pass adds one token to each of the first rows, at these positions."""
        self._at = positions
        self._index = torch.arange(len(positions), device=positions.device)
        self.end = int(positions.max()) + 1

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        layer_idx: int,
        *args: object,
        **options: object,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store one layer's new keys and values; return those of all rows so far."""
        layer: _RowsLayer = self.layers[layer_idx]
        layer.hold(self.end, key_states, value_states)
        layer.keys[self._index, :, self._at] = key_states[:, :, 0]
        layer.values[self._index, :, self._at] = value_states[:, :, 0]
        rows = len(self._index)
        return layer.keys[:rows, :, : self.end], layer.values[:rows, :, : self.end]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """How many positions the longest row holds before the pass."""
        return self.end - 1

    def get_mask_sizes(self, *args: object, **options: object) -> tuple[int, int]:
        """Key length of the pass, and the offset of the first."""
        return self.end, 0
