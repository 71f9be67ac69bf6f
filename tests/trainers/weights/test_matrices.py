"""Every matrix of a model's layers is found, whatever kind of module holds it."""

from __future__ import annotations

from typing import Any

import pytest

from steelyard.trainers.weights.matrices import matrices
from tests.harness.scoring.architectures import build


@pytest.mark.parametrize(
    ("name", "count"),
    [
        # Two layers: q, k, v, o, gate, up, down.
        ("llama", 2 * (2 * 32 * 32 + 2 * 16 * 32 + 3 * 32 * 64)),
        # q with k and v, o, up, down, the inner width four times the outer.
        ("gpt2", 2 * (3 * 32 * 32 + 32 * 32 + 2 * 4 * 32 * 32)),
        # ... and the three matrices of four experts.
        ("mixtral", 2 * (2 * 32 * 32 + 2 * 16 * 32 + 4 * 3 * 32 * 64)),
    ],
)
def test_all_weights_of_the_layers_are_counted(name: str, count: int) -> None:
    assert sum(layer.values.numel() for layer in matrices(build(name))) == count


@pytest.mark.parametrize("name", ["llama", "gpt2", "mixtral", "gpt_oss"])
def test_a_matrix_lies_as_out_by_in(name: str) -> None:
    model: Any = build(name)
    shapes = {tuple(each.shape) for layer in matrices(model) for each in layer.each}
    up = {"llama": (64, 32), "gpt2": (128, 32), "mixtral": (128, 32), "gpt_oss": (128, 32)}
    assert up[name] in shapes
    assert model.get_output_embeddings().weight.shape not in shapes


@pytest.mark.parametrize("name", ["gpt2", "mixtral"])
def test_what_is_written_to_it_changes_the_parameter(name: str) -> None:
    import torch

    model = build(name)
    with torch.no_grad():
        for layer in matrices(model):
            for each in layer.each:
                each.copy_(torch.zeros_like(each))
    assert all(not bool(getattr(m.module, m.parameter).any()) for m in matrices(model))
