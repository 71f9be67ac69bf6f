"""Rotary frequencies that depend on a sequence's length: no score depends on its neighbours'."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from steelyard.harness.scoring import canary
from steelyard.harness.scoring.passes import rope_lengths
from tests.harness.scoring.architectures import build
from tests.harness.scoring.test_equality import (  # noqa: F401
    assert_equal_log_likelihoods,
    both,
    pairs,
    prompts,
    reference_of,
    texts,
    tokenizer,
)

SWITCH = 48
LONGROPE = {
    "original_max_position_embeddings": SWITCH,
    "rope_parameters": {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "short_factor": [1.0] * 4,
        "long_factor": [2.0] * 4,
        "original_max_position_embeddings": SWITCH,
        "factor": 4.0,
    },
}
DYNAMIC = {
    "max_position_embeddings": SWITCH,
    "rope_parameters": {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0},
}


def test_longrope_on_both_sides_of_its_switch_equals_hf_at_batch_1(
    tokenizer: Any,  # noqa: F811
) -> None:
    reference, ours = both(build("phi3", **LONGROPE), tokenizer)
    assert ours.inner.rung.name == "tree"
    assert_equal_log_likelihoods(reference, ours)
    requests = prompts()
    assert ours.generate_until(requests) == reference.generate_until(requests, disable_tqdm=True)


def test_dynamic_frequencies_are_those_of_each_sequence_by_itself(
    tokenizer: Any,  # noqa: F811
) -> None:
    model = build("llama", **DYNAMIC)
    fresh = copy.deepcopy(model)
    _, ours = both(model, tokenizer)
    assert ours.inner.rung.name == "tree"
    requests, rolling = [*pairs()[::5], pairs()[-1]], texts()
    expected, windows = [], []
    for request in requests:  # hf keeps the frequencies of the longest sequence so far
        reference = reference_of(copy.deepcopy(fresh), tokenizer)
        expected += reference.loglikelihood([request], disable_tqdm=True)
    for text in rolling[:3]:
        reference = reference_of(copy.deepcopy(fresh), tokenizer)
        windows += reference.loglikelihood_rolling([text], disable_tqdm=True)
    found = ours.loglikelihood(requests)
    assert [value for value, _ in found] == pytest.approx([v for v, _ in expected], rel=1e-6)
    assert ours.loglikelihood_rolling(rolling)[:3] == pytest.approx(windows, rel=1e-6)


def test_the_switch_is_read_from_the_embedding() -> None:
    assert rope_lengths.longest_alike(build("phi3", **LONGROPE)) == SWITCH
    assert rope_lengths.longest_alike(build("llama", **DYNAMIC)) == SWITCH
    for name in ("llama", "gemma3_text", "gpt2"):
        assert rope_lengths.longest_alike(build(name)) is None


def test_dynamic_frequencies_are_forgotten() -> None:
    model = build("llama", **DYNAMIC)
    long = torch.arange(3, 103)[None]
    with torch.inference_mode():
        # At the switch itself transformers keeps what a longer pass has left.
        edge = torch.arange(3, 3 + SWITCH)[None]
        expected = model(input_ids=edge).logits
        model(input_ids=long)
        assert not torch.allclose(model(input_ids=edge).logits, expected)
        model(input_ids=long)
        rope_lengths.forget(model)
        assert torch.equal(model(input_ids=edge).logits, expected)


def test_the_canary_finds_the_same_on_a_model_that_was_opened_before() -> None:
    model = build("llama")
    first, second = (canary.choose(model)[1] for _ in range(2))
    assert first == second
    assert second.packed_layers == 15
    assert second.fused_layers == 2
