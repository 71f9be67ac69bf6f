"""Scoring cut into shards: whole packs, each in just one shard, and the bits of a whole run."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.harness.scoring.journal import Journal
from steelyard.harness.scoring.plans import share_of
from tests.harness.scoring.test_resume import answer, open_small, requests


@given(st.lists(st.integers(1, 9), max_size=40), st.integers(1, 7))
def test_shards_are_runs_of_neighbours_that_cover_every_pack_once(
    sizes: list[int], count: int
) -> None:
    packs = [[(index, 0)] * size for index, size in enumerate(sizes)]
    shards = [share_of(packs, (number, count)) for number in range(count)]
    assert [pack for shard in shards for pack in shard] == list(range(len(packs)))
    for shard in shards:
        asked = sum(sizes[pack] for pack in shard)
        assert asked <= sum(sizes) / count + max(sizes, default=0)


@pytest.mark.parametrize("kind", ["loglikelihood", "loglikelihood_rolling", "generate_until"])
def test_a_merge_of_shards_computes_nothing_and_has_the_bits_of_a_whole_run(
    kind: str, llama: Path, tmp_path: Path
) -> None:
    undisturbed = answer(open_small(llama), kind)
    counts = []
    for number in (1, 0):  # in any order
        with Journal(tmp_path / "j", "c") as journal:
            counts.append(open_small(llama, journal).fill(requests(kind), (number, 2)))
    with Journal(tmp_path / "j", "c") as journal:
        # Generation has one pack here; the others have many, and none in only one shard.
        assert min(counts) >= 1 or (kind == "generate_until" and sum(counts) == 1)
        merged = open_small(llama, journal)
        before = len(journal)
        assert answer(merged, kind) == undisturbed
        assert len(journal) == before, "a pack was missing"
