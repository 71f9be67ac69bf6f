"""Forward passes over one flat sequence whose tokens belong to many, under our own mask."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from steelyard.harness.scoring.passes.asked_positions import only_rows
from steelyard.harness.scoring.passes.kv_cache import BufferCache, PassingCache
from steelyard.harness.scoring.passes.masks import MaskStyle
from steelyard.harness.scoring.passes.trie import Tokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class FlatPass:
    """Runs ``n`` new tokens on top of a cache.

    Attributes:
        tokens: how many positions have run through the network so far.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self.tokens = 0
        self._style = MaskStyle.of(model.config)

    def __call__(
        self,
        cache: BufferCache | PassingCache,
        tokens: Tokens,
        positions: NDArray[np.int64],
        seen: NDArray[np.bool_],
        key_positions: NDArray[np.int64],
        rows: NDArray[np.int64],
    ) -> torch.Tensor:
        """Logits ``[rows, vocabulary]`` after the new tokens ``rows``.

        Args:
            cache: what came before; the new keys and values are stored there.
            tokens: ``[n]`` new tokens.
            positions: ``[n]`` their positions in their sequences.
            seen: ``[n, keys]`` which keys, old and new, each new token may look at.
            key_positions: ``[keys]`` positions of the keys in their sequences.
            rows: the new tokens whose logits are asked for.
        """
        device = self.model.device
        self.tokens += len(tokens)
        queries = torch.from_numpy(positions).to(device)
        mask = self._style.build(
            torch.from_numpy(seen).to(device),
            queries,
            torch.from_numpy(key_positions).to(device),
            self.model.dtype,
        )
        with only_rows(self.model, torch.from_numpy(rows).to(device), len(tokens)):
            logits: torch.Tensor = self.model(
                input_ids=token_ids(tokens, device)[None],
                attention_mask=mask,
                position_ids=queries[None],
                past_key_values=cache,
                use_cache=True,
            ).logits[0]
        return logits


class AnchoredCache:
    """The keys and values of one prefix, extended and cropped as packs ask for it."""

    def __init__(self, flat: FlatPass) -> None:
        self._flat = flat
        self._cache = BufferCache()
        self._prefix: Tokens = np.empty(0, dtype=np.int32)
        self._steps: list[int] = []

    def at(self, tokens: Tokens, anchors: tuple[int, ...]) -> BufferCache:
        """The cache after ``tokens[:anchors[-1]]``, computed in the steps ``anchors``.

        Only whole equal steps are kept from before: an anchor is then always the same forward
        passes, and a resumed run's bits are those of an undisturbed one.
        """
        equal = 0
        for ours, theirs in zip(self._steps, anchors, strict=False):
            if ours != theirs or not np.array_equal(self._prefix[:ours], tokens[:ours]):
                break
            equal += 1
        self._steps = self._steps[:equal]
        # Before the steps: one that is interrupted must not leave them beside an older prefix.
        self._prefix = tokens[: anchors[-1] if anchors else 0].copy()
        depth = self._steps[-1] if self._steps else 0
        self._cache.keep(depth)
        for end in anchors[equal:]:
            part = np.arange(depth, end)
            # Row i sees everything up to itself: column j <= depth + i.
            seen = np.tri(end - depth, end, depth, dtype=np.bool_)
            none = np.empty(0, dtype=np.int64)
            self._flat(self._cache, tokens[depth:end], part, seen, np.arange(end), none)
            self._steps.append(end)
            depth = end
        return self._cache


def token_ids(tokens: Tokens, device: torch.device) -> torch.Tensor:
    """Tokens as the ``int64`` tensor that an embedding takes."""
    return torch.from_numpy(tokens.astype(np.int64)).to(device)
