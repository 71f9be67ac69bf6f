"""The ladder: ways to run packs of sequences through a model, fastest first.

``tree``    every node of a pack in one flat sequence under a tree mask, anchors' keys and values
            kept (``tree+KV``);
``copied``  the anchors' cache, keys and values or a recurrent state, copied for each row of a
            right-padded batch of what follows (expanded KV, state snapshot);
``padded``  whole sequences, sorted by length, right-padded, each distinct one once;
``single``  one whole sequence at a time: what the others are checked against.

Each rung takes a pack's leaves and gives the logits of their asked positions.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from steelyard.harness.scoring import memory
from steelyard.harness.scoring.passes.asked_positions import only_rows
from steelyard.harness.scoring.passes.flat import AnchoredCache, FlatPass, token_ids
from steelyard.harness.scoring.passes.kv_cache import BufferCache, PassingCache
from steelyard.harness.scoring.passes.segments import Segments, in_segments
from steelyard.harness.scoring.passes.trie import Forest, Leaf, Pack, Tokens, Tree, lay_out

if TYPE_CHECKING:
    from transformers import PreTrainedModel
    from transformers.cache_utils import Cache

#: What a pack holds whose segments do not look at each other: so many tokens, or twice the budget;
#: if a leaf adds so many on average, for shorter ones are not worth a call of their own.
SEGMENTS_HOLD = 1280
LONG_ENOUGH = 24
#: Positions of a pass and its asked rows are filled up to a multiple of this, because oneDNN makes
#: code for every new number of rows, which takes as long as half a layer of a small model.
STEP = 8
NAMES = ("tree", "copied", "padded", "single")


@dataclass(frozen=True)
class Logits:
    """``values`` is ``[rows, vocabulary]``; ``of_leaf[i]`` are the rows of leaf i, in order."""

    values: torch.Tensor
    of_leaf: list[NDArray[np.int64]]


class Rung(Protocol):
    """A way to run packs."""

    name: str

    @property
    def tokens(self) -> int:
        """How many positions have run through the network so far."""
        ...

    def fits(self, forest: Forest, budget: int, start: int, stop: int, depth: int) -> bool:
        """Whether a pack may hold the leaves ``[start, stop)`` above ``depth`` anchor tokens."""
        ...

    def run(self, forest: Forest, pack: Pack) -> Logits:
        """Logits of every asked position of a pack."""
        ...

    def forget(self) -> None:
        """Drop what is kept of anchors."""
        ...


class TreeRung:
    """One flat sequence under a tree mask, on top of anchors that are kept."""

    name = "tree"

    def __init__(
        self,
        model: PreTrainedModel,
        by_segments: Literal["never", "where worth it", "always"] = "never",
    ) -> None:
        """``by_segments``: whether packs without an anchor attend so; they then hold more."""
        self._flat = FlatPass(model)
        self._anchored = AnchoredCache(self._flat)
        self._by_segments = by_segments
        self._roomy = memory.most_tokens(model)

    @property
    def tokens(self) -> int:
        """Positions that ran through the network."""
        return self._flat.tokens

    def fits(self, forest: Forest, budget: int, start: int, stop: int, depth: int) -> bool:
        """See :class:`Rung`; what is little more than one long path is not cut in two."""
        nodes = forest.nodes(start, stop, depth)
        if nodes <= budget:
            return True
        # A budget below the roomy one was set by memory or by hand, and is not for us to exceed.
        by_segments = self._by_segments != "never" and depth == 0 and budget >= self._roomy
        held = max(SEGMENTS_HOLD, 2 * budget)
        if by_segments and LONG_ENOUGH * (stop - start) <= nodes <= held:
            return True
        # What cannot be even with the longest path of the forest need not look for the run's own.
        if 3 * nodes > 4 * (forest.longest - depth):
            return False
        return 3 * nodes <= 4 * (max(len(x.tokens) for x in forest.leaves[start:stop]) - depth)

    def forget(self) -> None:
        """See :class:`Rung`."""
        self._anchored = AnchoredCache(self._flat)

    def run(self, forest: Forest, pack: Pack) -> Logits:
        """See :class:`Rung`."""
        leaves = forest.leaves[pack.start : pack.stop]
        cache: BufferCache | PassingCache = PassingCache()
        if pack.anchors:
            cache = self._anchored.at(leaves[0].tokens, pack.anchors)
        tree = lay_out(leaves, forest.shared[pack.start : pack.stop], pack.depth, STEP)
        # Leaves that end inside another ask for the same nodes: each goes through the head once.
        rows, inverse = np.unique(np.concatenate(tree.paths), return_inverse=True)
        # Filled up with the last one again, which no leaf reads.
        rows = np.pad(rows, (0, -len(rows) % STEP), mode="edge")
        # Every leaf begins with the anchors, so every node sees them whole.
        seen = np.ones((len(tree.tokens), pack.depth + len(tree.tokens)), dtype=np.bool_)
        seen[:, pack.depth :] = tree.visible
        keys = np.concatenate([np.arange(pack.depth), tree.positions])
        with in_segments(self._flat.model, self._segments(tree, pack.depth)):
            logits = self._flat(cache, tree.tokens, tree.positions, seen, keys, rows)
        if isinstance(cache, BufferCache):
            cache.keep(pack.depth)  # the pack's own keys leave, the anchors' stay for the next
        ends = np.cumsum([len(path) for path in tree.paths])
        return Logits(logits, np.split(inverse, ends[:-1]))

    def _segments(self, tree: Tree, depth: int) -> Segments | None:
        if depth or self._by_segments == "never":
            return None
        segments = Segments(tree.spans, self._flat.model.device)
        return segments if segments.worth or self._by_segments == "always" else None


class CopiedRung:
    """A cache of the anchors, copied for each row of a right-padded batch."""

    name = "copied"

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self.tokens = 0
        self._argument = _cache_argument(model)
        self._chain: list[tuple[Tokens, Cache]] = []

    def fits(self, forest: Forest, budget: int, start: int, stop: int, depth: int) -> bool:
        """See :class:`Rung`."""
        padded = forest.padded(start, stop, depth)
        return padded <= budget and padded <= 2 * forest.nodes(start, stop, depth) + 64

    def forget(self) -> None:
        """See :class:`Rung`."""
        self._chain = []

    def run(self, forest: Forest, pack: Pack) -> Logits:
        """See :class:`Rung`."""
        leaves = forest.leaves[pack.start : pack.stop]
        cache = self._anchored(leaves[0], pack.anchors)
        if cache is None:
            return self._batch(leaves, 0, None)
        cache.reorder_cache(torch.zeros(len(leaves), dtype=torch.long, device=self.model.device))
        return self._batch(leaves, pack.depth, cache)

    def _anchored(self, leaf: Leaf, anchors: tuple[int, ...]) -> Cache | None:
        """A fresh copy of the cache after the anchors; None where there are none."""
        equal = 0
        for (prefix, _), depth in zip(self._chain, anchors, strict=False):
            if len(prefix) != depth or not np.array_equal(prefix, leaf.tokens[:depth]):
                break
            equal += 1
        del self._chain[equal:]
        for depth in anchors[equal:]:
            # A recurrent state is advanced in place, so each anchor goes on from a copy.
            begin = len(self._chain[-1][0]) if self._chain else 0
            cache = copy.deepcopy(self._chain[-1][1]) if self._chain else None
            part = token_ids(leaf.tokens[begin:depth], self.model.device)[None]
            self.tokens += depth - begin
            output = self.model(input_ids=part, use_cache=True, **self._options(cache, 1, depth))
            self._chain.append((leaf.tokens[:depth].copy(), output[self._argument]))
        return copy.deepcopy(self._chain[-1][1]) if self._chain else None

    def _batch(self, leaves: Sequence[Leaf], depth: int, cache: Cache | None) -> Logits:
        ids, rows = _right_padded(leaves, depth, self.model.device)
        self.tokens += ids.numel()
        options: dict[str, object] = {"use_cache": False}
        if cache is not None:
            options = self._options(cache, len(leaves), depth + ids.shape[1]) | {"use_cache": True}
        flat = torch.as_tensor(np.concatenate(rows), device=self.model.device)
        with only_rows(self.model, flat, ids.shape[1]):
            logits = self.model(input_ids=ids, **options).logits[0]
        return Logits(logits, _numbered(rows))

    def _options(self, cache: Cache | None, rows: int, length: int) -> dict[str, object]:
        if cache is None:
            return {}
        mask = torch.ones((rows, length), dtype=torch.long, device=self.model.device)
        return {self._argument: cache, "attention_mask": mask}


class PaddedRung:
    """Whole sequences in right-padded batches; needs nothing of a model but causality."""

    name = "padded"

    def __init__(self, model: PreTrainedModel, one_by_one: bool = False) -> None:
        self.model = model
        self.tokens = 0
        self._one_by_one = one_by_one
        if one_by_one:
            self.name = "single"

    def fits(self, forest: Forest, budget: int, start: int, stop: int, depth: int) -> bool:
        """See :class:`Rung`."""
        return not self._one_by_one and forest.padded(start, stop, 0) <= budget

    def forget(self) -> None:
        """Nothing is kept."""

    def run(self, forest: Forest, pack: Pack) -> Logits:
        """See :class:`Rung`."""
        leaves = forest.leaves[pack.start : pack.stop]
        ids, rows = _right_padded(leaves, 0, self.model.device)
        self.tokens += ids.numel()
        flat = torch.as_tensor(np.concatenate(rows), device=self.model.device)
        with only_rows(self.model, flat, ids.shape[1]):
            logits = self.model(input_ids=ids, use_cache=False).logits[0]
        return Logits(logits, _numbered(rows))


def _right_padded(
    leaves: Sequence[Leaf], depth: int, device: torch.device
) -> tuple[torch.Tensor, list[NDArray[np.int64]]]:
    """Token ids ``[leaves, longest]`` beyond ``depth``, and the flat asked positions of each."""
    longest = max(len(leaf.tokens) for leaf in leaves) - depth
    ids = np.zeros((len(leaves), longest), dtype=np.int64)
    rows = []
    # Filling stands to the right, where under a causal mask nothing that is asked for sees it.
    for index, leaf in enumerate(leaves):
        ids[index, : len(leaf.tokens) - depth] = leaf.tokens[depth:]
        first = index * longest + leaf.first_scored - depth
        rows.append(np.arange(first, first + leaf.scored))
    return torch.from_numpy(ids).to(device), rows


def _numbered(rows: Sequence[NDArray[np.int64]]) -> list[NDArray[np.int64]]:
    ends = np.cumsum([len(part) for part in rows])
    return np.split(np.arange(ends[-1]), ends[:-1])


def _cache_argument(model: PreTrainedModel) -> str:
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    takes = inspect.signature(base.forward).parameters
    return next((name for name in ("past_key_values", "cache_params") if name in takes), "state")
