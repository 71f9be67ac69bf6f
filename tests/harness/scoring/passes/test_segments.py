"""Attention a segment of the tree at a time gives what one mask over everything gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from steelyard.harness.scoring import canary
from steelyard.harness.scoring.passes.rungs import TreeRung
from steelyard.harness.scoring.passes.segments import Segments, in_segments
from steelyard.harness.scoring.passes.trie import Forest, Leaf, Pack, lay_out
from tests.harness.scoring.architectures import VOCABULARY, build


def documents(count: int, context: int, ending: int) -> Forest:
    """``count`` contexts with four endings each; one ending goes on from inside another."""
    draw = np.random.default_rng(1)
    leaves = []
    for _ in range(count):
        begin = draw.integers(3, VOCABULARY, context)
        for _ in range(4):
            tokens = np.concatenate([begin, draw.integers(3, VOCABULARY, ending)])
            leaves.append(Leaf(tokens.astype(np.int32), ending))
        middle = leaves[-1].tokens[: context + ending // 2]
        tokens = np.concatenate([middle, draw.integers(3, VOCABULARY, ending // 2)])
        leaves.append(Leaf(tokens.astype(np.int32), ending // 2))
    return Forest(leaves)


@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma3_text", "mistral", "gpt2"])
def test_logits_are_those_of_one_mask(name: str) -> None:
    model: Any = build(name)
    forest = documents(3, 20, 12)
    pack = Pack(0, len(forest.leaves), ())
    with torch.inference_mode():
        whole = TreeRung(model).run(forest, pack).values
        parts = TreeRung(model, by_segments="always").run(forest, pack).values
    assert not torch.equal(whole, parts)
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-5)
    assert model.config.get_text_config()._attn_implementation == "sdpa"


def test_segments_are_worth_their_calls_only_where_much_is_masked() -> None:
    for forest, worth in ((documents(3, 60, 28), True), (documents(1, 100, 2), False)):
        tree = lay_out(forest.leaves, forest.shared, 0)
        assert Segments(tree.spans, "cpu").worth is worth


def test_packs_without_an_anchor_hold_more_then() -> None:
    forest = documents(3, 60, 28)
    nodes = forest.nodes(0, len(forest.leaves), 0)
    rungs = [TreeRung(build("llama"), mode) for mode in ("never", "where worth it")]  # type: ignore[arg-type]
    held = [r.fits(forest, nodes // 2 + 1, 0, len(forest.leaves), 0) for r in rungs]
    assert held == [False, True]
    small = documents(1, 60, 28)  # a budget that was set by the memory, or by hand, is kept
    nodes = small.nodes(0, len(small.leaves), 0)
    assert not rungs[1].fits(small, nodes // 2 + 1, 0, len(small.leaves), 0)


def test_the_model_has_its_own_attention_back_after_an_error() -> None:
    model: Any = build("llama")
    segments = Segments([(0, 4, np.arange(0))], "cpu")
    with pytest.raises(ZeroDivisionError), in_segments(model, segments):
        raise ZeroDivisionError
    assert model.config._attn_implementation == "sdpa"


def test_a_model_that_segments_get_wrong_keeps_one_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    def shifted(self: Any, mask: torch.Tensor) -> list[torch.Tensor]:
        return [torch.zeros((1, 1, 1, 1)) for _ in self._parts]

    monkeypatch.setattr(Segments, "_cut", shifted)
    _, choice = canary.choose(build("llama"))
    assert choice.rung == "tree"
    assert choice.tried["tree, by segments"].startswith("differs")
    assert not choice.by_segments


def test_attention_that_is_not_torchs_is_left_alone() -> None:
    _, choice = canary.choose(build("gemma2"))
    assert "tree, by segments" not in choice.tried
