"""Fused layers give what the layers' own forward passes give, and step aside where they may not."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from steelyard.harness.scoring import canary
from steelyard.harness.scoring.passes import fused_layers, packed_linear
from steelyard.harness.scoring.passes.asked_positions import only_rows
from steelyard.harness.scoring.passes.fused_layers import FusedLayer
from steelyard.harness.scoring.passes.packed_linear import PackedLinear
from tests.harness.scoring.architectures import build

pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="torch without oneDNN"
)
TOKENS = torch.arange(3, 40)[None]


def fused(name: str) -> Any:
    model = build(name)
    packed_linear.pack(model)
    fused_layers.fuse(model)
    return model


def logits(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        return model(input_ids=TOKENS, use_cache=False).logits


def alike(found: torch.Tensor, expected: torch.Tensor) -> bool:
    return torch.allclose(found, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3", "mistral"])
def test_logits_are_those_of_the_layers_themselves(name: str) -> None:
    model = build(name)
    plain = logits(model)
    packed_linear.pack(model)
    assert len(fused_layers.fuse(model)) == 2
    assert all(isinstance(layer.forward, FusedLayer) for layer in model.model.layers)
    assert alike(logits(model), plain)
    assert torch.equal(logits(model), logits(model)), "the same bits every time"
    fused_layers.unfuse(model, list(model.model.layers))
    assert fused_layers.last(model) is None
    assert alike(logits(model), plain)


@pytest.mark.parametrize("name", ["gemma2", "gemma3_text", "phi3", "mixtral", "gpt_oss"])
def test_layers_of_another_shape_are_left_alone(name: str) -> None:
    model = build(name)
    packed_linear.pack(model)
    assert not set(fused_layers.fuse(model)) & set(model.get_decoder().layers)
    assert fused_layers.last(model) is None


def test_a_gelu_that_is_written_out_becomes_torchs_own_whatever_the_layer() -> None:
    model = build("gpt2")
    plain = logits(model)
    packed_linear.pack(model)
    activations = fused_layers.fuse(model)
    assert {type(module).__name__ for module in activations} == {"NewGELUActivation"}
    assert len(activations) == 2
    assert alike(logits(model), plain)
    fused_layers.unfuse(model, activations)
    assert all("forward" not in vars(module) for module in activations)


def test_another_gelu_is_left_alone() -> None:
    from transformers.activations import ACT2FN

    model = build("gpt2")
    for block in model.transformer.h:
        block.mlp.act = ACT2FN["quick_gelu"]
    packed_linear.pack(model)
    assert fused_layers.fuse(model) == []


def test_layers_that_are_not_packed_are_left_alone() -> None:
    assert fused_layers.fuse(build("llama")) == []


def test_a_layer_of_the_same_parts_that_computes_otherwise_is_left_alone() -> None:
    model = build("llama")
    packed_linear.pack(model)
    model.model.layers[1].self_attn.scaling = 1.0
    assert len(fused_layers.fuse(model)) == 2, "what the parts say is followed"

    class Louder(type(model.model.layers[0])):  # type: ignore[misc]
        def forward(self, hidden_states: torch.Tensor, **options: Any) -> torch.Tensor:
            return 1.01 * super().forward(hidden_states, **options)

    model = build("llama")
    packed_linear.pack(model)
    model.model.layers[1].__class__ = Louder
    assert fused_layers.fuse(model) == [model.model.layers[0]]
    assert fused_layers.last(model) is None


@pytest.mark.parametrize("clip", [4.4, 30.0])
def test_a_clamp_that_no_common_activation_reaches_is_found(clip: float) -> None:
    model = build("olmo", clip_qkv=clip)
    packed_linear.pack(model)
    assert fused_layers.fuse(model) == []
    model = build("olmo")
    packed_linear.pack(model)
    assert len(fused_layers.fuse(model)) == 2


def test_the_last_layer_goes_on_with_the_asked_rows_alone(monkeypatch: Any) -> None:
    model = fused("llama")
    whole = logits(model)
    rows = torch.tensor([5, 11, 36])
    seen: list[int] = []
    plus = PackedLinear.plus

    def counted(self: Any, inputs: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        seen.append(inputs.shape[1])
        return plus(self, inputs, other)

    monkeypatch.setattr(PackedLinear, "plus", counted)
    with torch.inference_mode(), only_rows(model, rows, TOKENS.shape[1]):
        found = model(input_ids=TOKENS, use_cache=False).logits
    assert seen == [37, 37, 3, 3]
    assert alike(found, whole[:, rows])
    assert alike(logits(model), whole), "the next pass gives every row again"


def test_rows_are_chosen_before_the_head_where_the_last_layer_does_not() -> None:
    model = fused("llama")
    whole = logits(model)
    rows = torch.tensor([0, 36])
    heard: list[Any] = []
    model.model.layers[1].mlp.up_proj.register_forward_hook(lambda *_: heard.append(1))
    with torch.inference_mode(), only_rows(model, rows, TOKENS.shape[1]):
        found = model(input_ids=TOKENS, use_cache=False).logits
    assert heard == [1], "who listens to a part hears it"
    assert alike(found, whole[:, rows])


def test_a_pass_that_asks_for_nothing_still_keeps_keys_and_values() -> None:
    model = fused("llama")
    none = torch.empty(0, dtype=torch.long)
    with torch.inference_mode(), only_rows(model, none, TOKENS.shape[1]):
        found = model(input_ids=TOKENS, use_cache=True)
    assert found.logits.shape[:2] == (1, 0)
    with torch.inference_mode():
        after = model(input_ids=TOKENS[:, :3], past_key_values=found.past_key_values).logits
        both = model(input_ids=torch.cat([TOKENS, TOKENS[:, :3]], 1)).logits
    assert alike(after, both[:, -3:])


def test_what_changes_afterwards_counts() -> None:
    def change_weights(model: Any) -> None:
        model.model.layers[0].mlp.up_proj.weight.mul_(2.0)

    def change_norm(model: Any) -> None:
        model.model.layers[0].input_layernorm.weight.mul_(2.0)

    def replace_part(model: Any) -> None:
        layer = torch.nn.Linear(32, 32, bias=False)
        layer.weight.fill_(0.1)
        model.model.layers[0].self_attn.q_proj = layer

    def replace_forward(model: Any) -> None:
        part = model.model.layers[0].self_attn.v_proj
        part.forward = lambda inputs: 3.0 * torch.nn.functional.linear(inputs, part.weight)

    def give_bias(model: Any) -> None:
        model.model.layers[0].mlp.gate_proj.bias = torch.nn.Parameter(torch.full((64,), 0.5))

    changes = (change_weights, change_norm, replace_part, replace_forward, give_bias)
    for change in changes:
        model, fresh = fused("llama"), build("llama")
        before = logits(model)
        with torch.no_grad():
            change(model)
            change(fresh)
        assert not alike(logits(model), before)
        assert alike(logits(model), logits(fresh)), change.__name__


def test_a_fused_model_still_has_gradients() -> None:
    model = fused("llama")
    model(input_ids=TOKENS, labels=TOKENS).loss.backward()
    assert model.model.layers[0].mlp.up_proj.weight.grad is not None


def test_the_canary_takes_the_fusing_back_where_the_tree_then_differs(monkeypatch: Any) -> None:
    plus = PackedLinear.plus
    monkeypatch.setattr(fused_layers, "_TOLERANCE", 1.0)  # the probe lets it pass
    monkeypatch.setattr(PackedLinear, "plus", lambda self, x, other: 1.01 * plus(self, x, other))
    model = build("llama")
    _, choice = canary.choose(model)
    assert choice.rung == "tree"
    assert choice.tried["tree, layers fused"].startswith("differs")
    assert choice.fused_layers == 0
    assert "forward" not in vars(model.model.layers[0])


def test_the_choice_says_how_many_layers_are_fused() -> None:
    record = canary.choose(build("llama"))[1].as_record()
    assert record["fused_layers"] == 2
    assert record["tried"]["tree, layers fused"].startswith("agrees")
    assert canary.choose(build("phi3"))[1].fused_layers == 0
