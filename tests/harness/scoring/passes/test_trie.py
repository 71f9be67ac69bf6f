"""Sequences are cut into packs that hold what they may, each leaf in one of them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from steelyard.harness.scoring.passes.trie import SHORTEST_ANCHOR, Forest, Leaf, lay_out

sequences = st.lists(
    st.lists(st.integers(0, 3), min_size=1, max_size=40), min_size=1, max_size=30, unique_by=tuple
)


def forest_of(rows: list[list[int]]) -> Forest:
    return Forest([Leaf(np.array(row, dtype=np.int32), 1) for row in rows])


@given(sequences, st.integers(1, 200))
def test_every_leaf_is_in_one_pack_that_fits_or_holds_it_alone(
    rows: list[list[int]], budget: int
) -> None:
    forest = forest_of(rows)
    packs = forest.packs(lambda start, stop, depth: forest.nodes(start, stop, depth) <= budget)
    held = [index for pack in packs for index in range(pack.start, pack.stop)]
    assert held == list(range(len(rows)))
    for pack in packs:
        nodes = forest.nodes(pack.start, pack.stop, pack.depth)
        assert nodes <= budget or pack.stop - pack.start == 1
        prefixes = {
            leaf.tokens[: pack.depth].tobytes() for leaf in forest.leaves[pack.start : pack.stop]
        }
        assert len(prefixes) == 1, "an anchor is shared by all of a pack"


def test_documents_that_share_a_few_first_tokens_fill_packs_together() -> None:
    # 12 documents of 20 tokens; the first two tokens are one of three pairs.
    rows = [
        [9, group, *range(10 * index, 10 * index + 18)] for group in (1, 2, 3) for index in range(4)
    ]
    forest = forest_of(rows)
    packs = forest.packs(lambda start, stop, depth: forest.nodes(start, stop, depth) <= 60)
    assert [pack.stop - pack.start for pack in packs] == [3, 3, 3, 3]
    assert {pack.anchors for pack in packs} == {()}


def test_what_shares_a_long_prefix_keeps_a_pack_of_its_own_above_it() -> None:
    shared = list(range(SHORTEST_ANCHOR + 4))
    rows = [[99, *shared, 100 + index, *range(20)] for index in range(6)] + [[5, 6, 7]]
    forest = forest_of(rows)
    packs = forest.packs(lambda start, stop, depth: forest.nodes(start, stop, depth) <= 70)
    assert [(pack.stop - pack.start, pack.depth) for pack in packs] == [(1, 0), (3, 21), (3, 21)]


def test_prefixes_nested_a_thousand_deep_are_cut_as_well() -> None:
    tokens = np.arange(1200, dtype=np.int32)
    forest = Forest([Leaf(tokens[: index + 1], index + 1) for index in range(1200)])
    packs = forest.packs(lambda start, stop, depth: forest.nodes(start, stop, depth) <= 60)
    assert [index for pack in packs for index in range(pack.start, pack.stop)] == list(range(1200))


@given(sequences, st.integers(1, 16))
def test_nodes_that_fill_up_see_themselves_and_are_seen_by_none(
    rows: list[list[int]], step: int
) -> None:
    forest = forest_of(rows)
    tree = lay_out(forest.leaves, forest.shared, 0)
    filled = lay_out(forest.leaves, forest.shared, 0, step)
    count, full = len(tree.tokens), len(filled.tokens)
    assert full % step == 0
    assert 0 <= full - count < step
    assert np.array_equal(filled.visible[:count, :count], tree.visible)
    assert not filled.visible[:count, count:].any()
    assert np.array_equal(filled.visible[count:], np.eye(full, dtype=np.bool_)[count:])
    assert [path.tolist() for path in filled.paths] == [path.tolist() for path in tree.paths]
    assert [span[:2] for span in filled.spans][: len(tree.spans)] == [
        span[:2] for span in tree.spans
    ]
    assert filled.spans[-1][1] == full
