from __future__ import annotations

from typing import Any

import pytest
import torch

from steelyard.harness.scoring import canary
from steelyard.harness.scoring.passes import packed_linear
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
    assert len(packed_linear.pack(model)) == {"llama": 15, "gpt2": 9}[name]
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
    assert packed_linear.pack(model) == []
    assert torch.equal(logits(model), plain)


def test_other_types_and_models_too_large_for_a_copy_are_left_alone(monkeypatch: Any) -> None:
    assert packed_linear.pack(build("llama").to(torch.bfloat16)) == []
    monkeypatch.setattr(packed_linear.memory, "total_bytes", lambda _: 1000)
    assert packed_linear.pack(build("llama")) == []


@needs_onednn
def test_the_canary_unpacks_where_the_packed_tree_differs(monkeypatch: Any) -> None:
    def shifted(layers: Any) -> Any:
        packed = pack(layers)
        head = layers.lm_head
        forward = head.forward
        head.forward = lambda inputs: forward(inputs) + torch.linspace(0, 1, head.out_features)
        return packed

    pack = packed_linear.pack
    monkeypatch.setattr(packed_linear, "pack", shifted)
    model = build("llama")
    plain = logits(model)
    _, choice = canary.choose(model)
    assert choice.rung == "tree"
    assert choice.packed_layers == 0
    assert choice.tried["tree, layers packed"].startswith("differs")
    assert torch.equal(logits(model), plain)


@needs_onednn
def test_a_model_on_the_tree_is_packed_and_the_choice_says_so() -> None:
    record = canary.choose(build("llama"))[1].as_record()
    assert record["packed_layers"] == 15
    assert record["tried"]["tree, layers packed"].startswith("agrees")
    assert canary.choose(build("gpt_neo"))[1].packed_layers == 0


class Quantised(torch.Tensor):
    """As torchao's: says float32 of itself, holds integers and scales, and is asked for neither."""

    @staticmethod
    def __new__(cls, weight: torch.Tensor) -> Quantised:
        return torch.Tensor._make_wrapper_subclass(cls, weight.shape, dtype=weight.dtype)

    def __init__(self, weight: torch.Tensor) -> None:
        self.scales = weight.abs().amax(1, keepdim=True) / 127
        self.whole = (weight / self.scales).round().to(torch.int8)

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["whole", "scales"], None

    @classmethod
    def __torch_function__(cls, function: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is torch.nn.functional.linear:
            inputs, weight, *bias = args
            return function(inputs, weight.whole * weight.scales, *bias)
        with torch._C.DisableTorchFunctionSubclass():
            return function(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(cls, function: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is torch.ops.aten.detach.default:
            return args[0]
        raise NotImplementedError(f"{function}: a quantised weight does not take it")


@needs_onednn
def test_a_quantised_weight_that_calls_itself_float_keeps_its_own_product() -> None:
    model = build("llama")
    layers = [m for m in model.modules() if type(m) is torch.nn.Linear]
    for layer in layers[:-1]:
        quantised = Quantised(layer.weight.detach())
        layer.weight = torch.nn.Parameter(quantised, requires_grad=False)
    assert isinstance(layers[0].weight, torch.nn.Parameter)
    assert layers[0].weight.dtype == torch.float32
    plain = logits(model)
    assert packed_linear.pack(model) == [layers[-1]]
    assert torch.allclose(logits(model), plain, rtol=1e-5, atol=1e-5 * float(plain.abs().max()))
