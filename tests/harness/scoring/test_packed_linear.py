from __future__ import annotations

from typing import Any

import pytest
import torch

from harness.scoring import packed_linear
from tests.harness.scoring.architectures import build

needs_onednn = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="torch without oneDNN"
)
TOKENS = torch.arange(3, 40)[None]


def logits(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        return model(input_ids=TOKENS, use_cache=False).logits


@needs_onednn
@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_packed_layers_give_the_logits_of_plain_ones_up_to_rounding(name: str) -> None:
    model = build(name)
    plain = logits(model)
    assert packed_linear.pack(model) == {"llama": 15, "gpt2": 9}[name]
    packed = logits(model)
    assert torch.allclose(packed, plain, rtol=1e-5, atol=1e-5 * float(plain.abs().max()))
    assert torch.equal(logits(model), packed), "the same bits every time"


@needs_onednn
def test_a_layer_whose_weights_change_afterwards_computes_with_the_new_ones() -> None:
    model = build("llama")
    packed_linear.pack(model)
    before = logits(model)
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight.mul_(2.0)
    fresh = build("llama")
    with torch.no_grad():
        fresh.model.layers[0].mlp.up_proj.weight.mul_(2.0)
    assert not torch.allclose(before, logits(fresh))
    assert torch.allclose(logits(model), logits(fresh), rtol=1e-4, atol=1e-4)


@needs_onednn
def test_a_packed_model_still_has_gradients() -> None:
    model = build("llama")
    packed_linear.pack(model)
    model(input_ids=TOKENS, labels=TOKENS).loss.backward()
    assert model.model.layers[0].mlp.up_proj.weight.grad is not None


@needs_onednn
def test_a_layer_that_packs_wrongly_keeps_its_plain_product(monkeypatch: Any) -> None:
    model = build("llama")
    plain = logits(model)
    monkeypatch.setattr(
        torch.ops.mkldnn, "_linear_pointwise", lambda inputs, packed, *rest: inputs.new_zeros(1)
    )
    assert packed_linear.pack(model) == 0
    assert torch.equal(logits(model), plain)


def test_other_types_and_models_too_large_for_a_copy_are_left_alone(monkeypatch: Any) -> None:
    assert packed_linear.pack(build("llama").to(torch.bfloat16)) == 0
    monkeypatch.setattr(packed_linear, "_memory_bytes", lambda: 1000)
    assert packed_linear.pack(build("llama")) == 0
