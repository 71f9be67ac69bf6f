"""Quantisation: formulas by hand, damage in the right order, sizes, and options that fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from steelyard.harness.checkpoints import load_model
from steelyard.harness.records import Checkpoint
from steelyard.trainers.quantize import Quantize
from steelyard.trainers.weights.rounding import rounded
from tests.trainers import tiny_jobs


def test_absmax_rounds_as_by_hand() -> None:
    weight = torch.tensor([[0.7, -0.12, 0.34, 0.04, 2.0, -3.0, 1.1, 0.4]])
    # Scales .7 / 7 and 3 / 7 at four bits.
    expected = [0.7, -0.1, 0.3, 0.0, 15 / 7, -3.0, 9 / 7, 3 / 7]
    found = rounded(weight, bits=4, group=4, zero_point=False)
    assert found[0].tolist() == pytest.approx(expected, abs=1e-6)


def test_zero_point_rounds_as_by_hand() -> None:
    weight = torch.tensor([[0.0, 0.1, 0.2, 0.3], [-1.0, 0.0, 1.0, 2.0]])
    found = rounded(weight, bits=2, group=4, zero_point=True)
    # Both rows lie on their grids of four levels, the second with its zero at 1.
    assert torch.allclose(found, weight, atol=1e-7)
    between = rounded(torch.tensor([[-1.0, -0.4, 1.0, 2.0]]), bits=2, group=4, zero_point=True)
    assert between[0].tolist() == pytest.approx([-1.0, 0.0, 1.0, 2.0])


@pytest.mark.parametrize("zero_point", [False, True])
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_a_group_has_no_more_values_than_its_bits_hold(bits: int, zero_point: bool) -> None:
    torch.manual_seed(0)
    weight = torch.randn(5, 100)
    found = rounded(weight, bits=bits, group=64, zero_point=zero_point)
    for row in found:
        for group in row.split(64):
            assert len(group.unique()) <= 2**bits
    spread = weight.amax() - weight.amin() if zero_point else 2 * weight.abs().amax()
    step = spread / (2**bits - (1 if zero_point else 2))
    assert float((found - weight).abs().max()) <= float(step) / 2 + 1e-6


def test_constant_and_zero_weights_survive() -> None:
    for weight in (torch.zeros(2, 8), torch.full((2, 8), 0.3)):
        for zero_point in (False, True):
            found = rounded(weight, bits=2, group=8, zero_point=zero_point)
            assert torch.allclose(found, weight, atol=1e-7)


def divergence(start: Checkpoint, other: Checkpoint) -> float:
    """Mean KL(start || other) per token, in nats."""
    one, _ = load_model(start)
    two, _ = load_model(other, trainable=False, only_asked=True)
    p, q = (tiny_jobs.logits(model).double().log_softmax(-1) for model in (one, two))
    return float((p.exp() * (p - q)).sum(-1).mean())


def test_damage_grows_as_bits_fall_within_a_family(base: Checkpoint, tmp_path: Path) -> None:
    for family in ("absmax", "zeropoint"):
        found = [
            divergence(
                base,
                tiny_jobs.train(
                    "quantize", base, tmp_path / f"{family}{bits}", scheme=f"{family}-int{bits}"
                ),
            )
            for bits in (8, 4, 3, 2)
        ]
        assert found == sorted(found)
        assert found[0] < found[1] / 20


def test_int8_diverges_far_less_than_nf4(base: Checkpoint, tmp_path: Path) -> None:
    int8, nf4 = (
        tiny_jobs.train("quantize", base, tmp_path / scheme, scheme=scheme)
        for scheme in ("int8", "nf4")
    )
    assert 0 < divergence(base, int8) < divergence(base, nf4) / 5
    assert base.manifest.size_bytes > int8.manifest.size_bytes > nf4.manifest.size_bytes
    assert int8.manifest.format == nf4.manifest.format == "quantised"
    assert (int8.manifest.parameters_trained, int8.manifest.steps) == (0, None)


def test_rounded_weights_load_as_plain_floats_and_say_so(base: Checkpoint, tmp_path: Path) -> None:
    int3 = tiny_jobs.train("quantize", base, tmp_path / "int3", scheme="zeropoint-int3")
    model, _ = load_model(int3, trainable=False)
    start, _ = load_model(base)
    head = "model.embed_tokens.weight"
    assert torch.equal(model.get_parameter(head), start.get_parameter(head))
    layer = model.get_parameter("model.layers.0.mlp.up_proj.weight")
    assert all(len(row.unique()) <= 8 for row in layer)
    assert "its size on the disk is not the scheme's" in int3.manifest.notes[0]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"scheme": "int8", "double_quant": True}, "double_quant applies to nf4 and fp4"),
        ({"scheme": "nf4", "block_size": 32}, "fixes its block size"),
        ({"scheme": "int5"}, "scheme"),
        ({}, "scheme"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, object], expected: str) -> None:
    with pytest.raises(ValidationError, match=expected):
        Quantize.model_validate(options)
