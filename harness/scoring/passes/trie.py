"""Token sequences as a trie, cut into packs that run through a model together.

Sequences are sorted, so that a shared prefix is shared with a neighbour, and every distinct prefix
position is one node. A pack is a run of neighbours; what all of a larger group share becomes an
*anchor*, which is computed once and kept (its keys and values, or a recurrent state). Packs and
anchors follow from the sequences and the budget alone, so a resumed run computes the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.int32]
#: ``(start, stop, depth)``: whether one pack may hold these leaves above so many anchor tokens.
Fits = Callable[[int, int, int], bool]

#: A shared prefix shorter than this is not worth a forward pass of its own.
SHORTEST_ANCHOR = 16
#: Prefixes nested deeper than this are not looked for.
_MOST_LEVELS = 200


@dataclass(frozen=True)
class Leaf:
    """One sequence of input tokens; its last ``scored`` positions are asked for."""

    tokens: Tokens
    scored: int

    @property
    def first_scored(self) -> int:
        """The first position that is asked for."""
        return len(self.tokens) - self.scored


@dataclass(frozen=True)
class Pack:
    """Leaves ``[start, stop)`` of the sorted leaves, above a chain of anchors.

    ``anchors`` are prefix lengths, increasing: the prefix up to each is one forward pass on top of
    the one before. Empty where nothing is shared beyond the pack.
    """

    start: int
    stop: int
    anchors: tuple[int, ...]

    @property
    def depth(self) -> int:
        """How many tokens are in the anchors."""
        return self.anchors[-1] if self.anchors else 0


class Forest:
    """Sorted distinct leaves with what neighbours share."""

    def __init__(self, leaves: Sequence[Leaf], by_length: bool = False) -> None:
        """``leaves`` in any order; :attr:`order` gives each sorted place its original index.

        ``by_length`` sorts the longest first and shares nothing: for batches without anchors.
        """
        # Big-endian bytes sort as the numbers do, and a prefix before what it begins.
        keys = [leaf.tokens.astype(">u4").tobytes() for leaf in leaves]
        self.by_length = by_length
        self.order = sorted(
            range(len(leaves)),
            key=lambda index: (-len(leaves[index].tokens) if by_length else 0, keys[index]),
        )
        self.leaves = [leaves[index] for index in self.order]
        self.shared = [0] + [
            0 if by_length else shared_length(a.tokens, b.tokens)
            for a, b in zip(self.leaves, self.leaves[1:], strict=False)
        ]
        self.longest = max((len(leaf.tokens) for leaf in leaves), default=0)
        lengths = np.array([len(leaf.tokens) for leaf in self.leaves], dtype=np.int64)
        added = lengths - np.array(self.shared, dtype=np.int64)[: len(lengths)]
        self._added = np.concatenate([[0], np.cumsum(added)])

    def nodes(self, start: int, stop: int, depth: int) -> int:
        """Distinct positions of ``[start, stop)`` beyond a shared prefix of ``depth`` tokens."""
        # Every leaf but the first adds what it does not share with the one before it.
        inside = int(self._added[stop] - self._added[start + 1])
        return len(self.leaves[start].tokens) - depth + inside

    def padded(self, start: int, stop: int, depth: int) -> int:
        """Positions of a right-padded batch of ``[start, stop)`` beyond ``depth`` tokens."""
        longest = max(len(leaf.tokens) for leaf in self.leaves[start:stop])
        return (longest - depth) * (stop - start)

    def packs(self, fits: Fits) -> list[Pack]:
        """Cut into packs: ``fits(start, stop, depth)`` says whether one pack may hold a run."""
        if not self.leaves:
            return []
        return list(self._cut(Pack(0, len(self.leaves), ()), fits))

    def _cut(self, run: Pack, fits: Fits, level: int = 0) -> Iterator[Pack]:
        """A run of leaves whole where it fits, else its branches, as many together as do."""
        if run.stop - run.start == 1 or fits(run.start, run.stop, run.depth):
            yield run
            return
        branch = min(self.shared[run.start + 1 : run.stop])
        first_scored = min(leaf.first_scored for leaf in self.leaves[run.start : run.stop])
        # No further than the first asked position, whose logits are a pack's and no anchor's.
        anchor = min(branch, first_scored)
        if anchor - run.depth >= SHORTEST_ANCHOR:
            run = replace(run, anchors=(*run.anchors, anchor))
        edges = [i for i in range(run.start + 1, run.stop) if self.shared[i] == branch]
        if len(edges) == run.stop - run.start - 1 or level == _MOST_LEVELS:
            yield from self._cut_flat(run, fits)
            return
        begin = end = run.start
        for _, child_end in self._branches(run.start, run.stop, run.depth, fits):
            if end > begin and not fits(begin, child_end, run.depth):
                yield from self._cut(Pack(begin, end, run.anchors), fits, level + 1)
                begin = end
            end = child_end
        yield from self._cut(Pack(begin, end, run.anchors), fits, level + 1)

    def _branches(self, start: int, stop: int, depth: int, fits: Fits) -> Iterator[tuple[int, int]]:
        """The branches of a run, and theirs where one neither fits nor shares enough to anchor."""
        branch = min(self.shared[start + 1 : stop])
        edges = [i for i in range(start + 1, stop) if self.shared[i] == branch]
        for begin, end in pairwise([start, *edges, stop]):
            whole = end - begin == 1 or fits(begin, end, depth)
            if whole or min(self.shared[begin + 1 : end]) - depth >= SHORTEST_ANCHOR:
                yield begin, end
            else:
                yield from self._branches(begin, end, depth, fits)

    def _cut_flat(self, run: Pack, fits: Fits) -> Iterator[Pack]:
        """Leaves that share nothing more, or too deep: fill packs in order."""
        begin = run.start
        for end in range(run.start + 1, run.stop + 1):
            if end > begin + 1 and not fits(begin, end, run.depth):
                yield Pack(begin, end - 1, run.anchors)
                begin = end - 1
        yield Pack(begin, run.stop, run.anchors)


@dataclass(frozen=True)
class Tree:
    """One pack laid out flat. ``n`` nodes in depth-first order above ``depth`` anchor tokens.

    Attributes:
        tokens: ``[n]`` token of each node.
        positions: ``[n]`` its position in its sequence.
        visible: ``[n, n]`` whether a row's node sees a column's (its ancestors and itself).
        paths: for each leaf, the nodes of its asked positions, in order.
        spans: for each leaf that adds nodes, ``(begin, end, ancestors)`` of what it adds.
    """

    tokens: Tokens
    positions: NDArray[np.int64]
    visible: NDArray[np.bool_]
    paths: list[NDArray[np.int64]]
    spans: list[tuple[int, int, NDArray[np.int64]]]


def lay_out(leaves: Sequence[Leaf], shared: Sequence[int], depth: int, step: int = 1) -> Tree:
    """Lay sorted leaves out as a tree; ``shared[i]`` is what leaf ``i`` shares with ``i - 1``.

    The nodes are filled up to a multiple of ``step`` with some that see nothing but themselves.
    """
    count = sum(
        len(leaf.tokens) - (depth if index == 0 else shared[index])
        for index, leaf in enumerate(leaves)
    )
    count += -count % step
    tokens = np.zeros(count, dtype=np.int32)
    positions = np.zeros(count, dtype=np.int64)
    visible = np.zeros((count, count), dtype=np.bool_)
    paths: list[NDArray[np.int64]] = []
    spans = []
    path: NDArray[np.int64] = np.empty(0, dtype=np.int64)
    begin = 0
    for index, leaf in enumerate(leaves):
        # ``path`` holds the nodes of the leaf before; sorted as they are, what a leaf shares with
        # any earlier one it shares with that one, so the start of the path is all its ancestors.
        ancestors = path[: 0 if index == 0 else shared[index] - depth]
        first = depth + len(ancestors)
        end = begin + len(leaf.tokens) - first
        tokens[begin:end] = leaf.tokens[first:]
        positions[begin:end] = np.arange(first, len(leaf.tokens))
        visible[begin:end, ancestors] = True
        visible[begin:end, begin:end] = np.tri(end - begin, dtype=np.bool_)
        if end > begin:
            spans.append((begin, end, ancestors))
        path = np.concatenate([ancestors, np.arange(begin, end)])
        paths.append(path[leaf.first_scored - depth :])
        begin = end
    if begin < count:
        np.fill_diagonal(visible[begin:, begin:], True)
        spans.append((begin, count, path[:0]))
    return Tree(tokens, positions, visible, paths, spans)


def shared_length(a: Tokens, b: Tokens) -> int:
    """How many leading tokens two sequences share."""
    length = min(len(a), len(b))
    different = np.flatnonzero(a[:length] != b[:length])
    return int(different[0]) if different.size else length
