"""Decoder layers of the commonest shape, in half the passes over memory.

A layer of Llama's shape (RMS norm, rotated queries and keys, a gated MLP, each added to what came
in) is some sixty calls of torch, of which seven are matrix products; in a small model the others
take two thirds as long as those. Here sums are part of the packed products
(:mod:`steelyard.harness.scoring.passes.packed_linear`), norm, rotation and activation copy less,
and the last layer goes on with the asked rows alone. A GELU that is written out in eight passes
becomes one, whatever the layer around it.

Which layers have that shape is read from their parts, never from a name, and each is held against
its own forward pass on a probe; what differs stays as it is. So it does whenever somebody has
changed a part since, or listens to one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import torch
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from steelyard.harness.scoring.passes import segments
from steelyard.harness.scoring.passes.packed_linear import PackedLinear

if TYPE_CHECKING:
    from transformers import PreTrainedModel
    from transformers.cache_utils import Cache

_TOLERANCE = 1e-4
_ROUNDING = 1e-6
_PROBE = 7
_LAYER = {"self_attn", "mlp", "input_layernorm", "post_attention_layernorm"}
_ATTENTION = {"q_proj", "k_proj", "v_proj", "o_proj"}
_HEAD_NORMS = {"q_norm", "k_norm"}
#: Groups of products that are made loud together, so that none drowns another.
_LOUD = (("q_proj", "k_proj"), ("v_proj",), ("gate_proj",), ("up_proj",))
_ATTENTIONS = ("sdpa", segments.NAME)
_MLP = {"gate_proj", "up_proj", "down_proj", "act_fn"}

#: What a model raises that is called in a way which it does not know.
FAILURES = (
    TypeError,
    ValueError,
    RuntimeError,
    AttributeError,
    KeyError,
    IndexError,
    AssertionError,
)
Rows = Callable[[torch.Tensor], torch.Tensor]
Norm = Callable[[torch.Tensor], torch.Tensor]


def fuse(model: PreTrainedModel) -> list[torch.nn.Module]:
    """Give a model's activations and layers a fused forward; the modules that got one."""
    decoder = model.get_decoder() if hasattr(model, "get_decoder") else None
    layers = list(getattr(decoder, "layers", ()))
    with torch.inference_mode():
        fused = [module for module in model.modules() if _fuse_activation(module)]
        fused += [layer for layer in layers if _has_the_shape(layer) and _fuse_layer(layer)]
    if fused and layers and fused[-1] is layers[-1]:
        _last[model] = layers[-1].forward
    return fused


def unfuse(model: PreTrainedModel, modules: list[torch.nn.Module]) -> None:
    """Put modules back to their own forward."""
    _last.pop(model, None)
    for module in modules:
        del module.forward


def fused(model: PreTrainedModel) -> list[torch.nn.Module]:
    """A model's fused layers and activations."""
    forwards = [(module, vars(module).get("forward")) for module in model.modules()]
    return [module for module, own in forwards if own is _gelu or isinstance(own, FusedLayer)]


def last(model: PreTrainedModel) -> FusedLayer | None:
    """A model's last layer, if it is fused."""
    return _last.get(model)


class FusedLayer:
    """The ``forward`` of a decoder layer.

    Attributes:
        rows: chooses the positions that the next pass goes on with after the attention; None for
            all. A pass that has chosen sets it back to None.
    """

    def __init__(self, layer: torch.nn.Module) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self.rows: Rows | None = None
        self._plain: Callable[..., torch.Tensor] = layer.forward
        self._layer, self._attention = layer, attention
        self._parts = [
            (owner, name, part, vars(part).get("forward"))
            for owner in (layer, attention, mlp)
            for name, part in owner._modules.items()
        ]
        self._norm_before, self._norm_after = (
            _norm(norm) for norm in (layer.input_layernorm, layer.post_attention_layernorm)
        )
        self._q, self._k, self._v, self._o = (
            getattr(attention, name).forward for name in ("q_proj", "k_proj", "v_proj", "o_proj")
        )
        self._head_norms = [
            _norm(getattr(attention, name)) if hasattr(attention, name) else None
            for name in ("q_norm", "k_norm")
        ]
        self._gate, self._up, self._down = (
            getattr(mlp, name).forward for name in ("gate_proj", "up_proj", "down_proj")
        )
        self._activation = _activation(mlp.act_fn)

    def __call__(
        self, hidden_states: torch.Tensor, *args: object, **options: object
    ) -> torch.Tensor:
        """What the layer's own forward takes and gives."""
        if args or torch.is_grad_enabled() or not self._serves():
            return self._plain(hidden_states, *args, **options)
        return self._forward(hidden_states, **options)  # type: ignore[arg-type]  # the layer's own

    def _forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        past_key_values: Cache | None = None,
        *,
        position_embeddings: tuple[torch.Tensor, torch.Tensor],
        **options: object,
    ) -> torch.Tensor:
        states = self._rotated(self._norm_before(hidden_states), *position_embeddings)
        query, key, value = (part.transpose(1, 2) for part in states)
        if past_key_values is not None:
            key, value = past_key_values.update(key, value, self._attention.layer_idx)
        attended = self._attend(query, key, value, attention_mask, options).flatten(2)
        if self.rows is not None:
            # After the attention a position is its own alone, so dropping others changes no number.
            attended, hidden_states = self.rows(attended), self.rows(hidden_states)
            self.rows = None
        hidden_states = self._o.plus(attended, hidden_states)
        inner = self._norm_after(hidden_states)
        inner = self._activation(self._gate(inner)).mul_(self._up(inner))
        return self._down.plus(inner, hidden_states)

    def _rotated(
        self, inner: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries, keys and values ``[batch, positions, heads, head size]``."""
        shape = (*inner.shape[:-1], -1, self._attention.head_dim)
        query, key, value = (part(inner).view(shape) for part in (self._q, self._k, self._v))
        norm_query, norm_key = self._head_norms
        query = query if norm_query is None else norm_query(query)
        key = key if norm_key is None else norm_key(key)
        cos, sin = cos[..., None, :], sin[..., None, :]
        return _rotate(query, cos, sin), _rotate(key, cos, sin), value

    def _attend(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        mask: torch.Tensor | None,
        options: dict[str, object],
    ) -> torch.Tensor:
        module = self._attention
        attention = ALL_ATTENTION_FUNCTIONS[module.config._attn_implementation]
        attended: torch.Tensor = attention(
            module, query, key, value, mask, dropout=0.0, scaling=module.scaling, **options
        )[0]
        return attended

    def _serves(self) -> bool:
        """Whether the parts are those of the probe and nobody listens; else the plain forward."""
        if self._layer.training or self._attention.config._attn_implementation not in _ATTENTIONS:
            return False
        return all(
            owner._modules[name] is part
            and vars(part).get("forward") is forward
            and not (part._forward_hooks or part._forward_pre_hooks)
            for owner, name, part, forward in self._parts
        )


_last: WeakKeyDictionary[PreTrainedModel, FusedLayer] = WeakKeyDictionary()


def _rotate(states: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary position embedding by halves: ``x cos + (-second, first) sin``."""
    half = states.shape[-1] // 2
    # Each half is written where it belongs, without the two copies that ``rotate_half`` makes.
    rotated = states * cos
    rotated[..., :half].addcmul_(states[..., half:], sin[..., :half], value=-1)
    rotated[..., half:].addcmul_(states[..., :half], sin[..., half:])
    return rotated


def _activation(module: torch.nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    """The activation, in place where that is known to be safe: its input is a product's output."""
    if type(module).__name__ in ("SiLU", "SiLUActivation"):
        return partial(torch.nn.functional.silu, inplace=True)
    return module  # type: ignore[no-any-return]


def _fuse_activation(module: torch.nn.Module) -> bool:
    """Fuse a GELU that is written out in eight passes, if torch's own with tanh agrees."""
    if "GELU" not in type(module).__name__ or "forward" in vars(module):
        return False
    probe = torch.linspace(-20.0, 20.0, 4001)
    try:
        expected = module(probe)
        apart = (_gelu(probe) - expected).abs() / expected.abs().clamp_min(1.0)
    except FAILURES:
        return False
    if not bool(apart.max() <= _ROUNDING):
        return False
    module.forward = _gelu
    return True


def _gelu(inputs: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.gelu(inputs, approximate="tanh")


def _norm(module: torch.nn.Module) -> Norm:
    """An RMS norm with fewer copies, if it gives the module's own bits; else the module."""
    epsilon = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    weight = getattr(module, "weight", None)
    if not isinstance(epsilon, float) or not isinstance(weight, torch.Tensor):
        return module  # type: ignore[no-any-return]

    def norm(inputs: torch.Tensor) -> torch.Tensor:
        # x / sqrt(mean(x^2) + epsilon) in the module's own order, so that it is equal to the bit.
        scale = inputs.pow(2).mean(-1, keepdim=True).add_(epsilon).rsqrt_()
        return (inputs * scale).mul_(module.weight)

    probe = torch.randn((_PROBE, weight.shape[-1]), generator=torch.Generator().manual_seed(0))
    return norm if torch.equal(norm(probe), module(probe)) else module


def _has_the_shape(layer: torch.nn.Module) -> bool:
    """Whether a layer has the parts of Llama's, all of them and no other, in fp32 and packed."""
    if _parts(layer) != _LAYER or "forward" in vars(layer):
        return False
    attention, mlp = layer.self_attn, layer.mlp
    if _parts(attention) not in (_ATTENTION, _ATTENTION | _HEAD_NORMS) or _parts(mlp) != _MLP:
        return False
    products = [getattr(attention, name) for name in sorted(_ATTENTION)]
    products += [getattr(mlp, name) for name in sorted(_MLP - {"act_fn"})]
    if not all(isinstance(vars(module).get("forward"), PackedLinear) for module in products):
        return False
    return all(hasattr(attention, name) for name in ("config", "head_dim", "layer_idx", "scaling"))


def _parts(module: torch.nn.Module) -> set[str]:
    """Names of a module's children, parameters and buffers."""
    return {*module._modules, *module._parameters, *module._buffers}


def _fuse_layer(layer: torch.nn.Module) -> bool:
    """Fuse one layer if it agrees with its own forward pass, and does when its products are loud.

    What clamps a product (OLMo's ``clip_qkv``) shows on rare activations alone, so each group of
    products is once made a thousand times as large.
    """
    if not all(_agrees(layer, names) for names in ((), *_LOUD)):
        return False
    layer.forward = FusedLayer(layer)
    return True


def _agrees(layer: torch.nn.Module, loud: tuple[str, ...]) -> bool:
    """Whether both ways agree on a probe, with the products of these names a thousandfold."""
    parts = [getattr(layer.self_attn, name, None) or getattr(layer.mlp, name) for name in loud]
    forwards = [part.forward for part in parts]
    try:
        for part, forward in zip(parts, forwards, strict=True):
            part.forward = partial(_loudly, forward)
        options = _probe(layer)
        expected, output = layer(**options), FusedLayer(layer)(**options)
    except FAILURES:
        return False
    finally:
        for part, forward in zip(parts, forwards, strict=True):
            part.forward = forward
    if not isinstance(expected, torch.Tensor) or expected.shape != output.shape:
        return False
    # Relative to the largest output: where parts cancel, a small one carries the large ones' error.
    return bool((output - expected).abs().max() <= _TOLERANCE * expected.abs().max())


def _loudly(forward: Callable[[torch.Tensor], torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
    return 1000.0 * forward(inputs)


def _probe(layer: torch.nn.Module) -> dict[str, object]:
    """What a layer is called with; far along, because some scale by how far a position is."""
    draw = torch.Generator().manual_seed(0)
    hidden = torch.randn((1, _PROBE, layer.self_attn.q_proj.in_features), generator=draw)
    angles = torch.rand((1, _PROBE, layer.self_attn.head_dim // 2), generator=draw).repeat(1, 1, 2)
    mask = torch.full((_PROBE, _PROBE), torch.finfo(torch.float32).min).triu(1)[None, None]
    return {
        "hidden_states": hidden,
        "attention_mask": mask,
        "position_ids": torch.arange(_PROBE)[None] + 1_000_000,
        "position_embeddings": (angles.cos(), angles.sin()),
    }
