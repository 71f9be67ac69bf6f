"""A row that is padded in front is learnt at the positions where it is asked."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from steelyard.trainers.loops.positions import count_positions
from tests.harness.scoring.architectures import build

IDS = [5, 9, 14, 20, 31]


@pytest.mark.parametrize("name", ["gpt2", "opt", "llama", "gemma2"])
@pytest.mark.parametrize("padding", [0, 3])
def test_padding_in_front_changes_no_logit(name: str, padding: int) -> None:
    import torch

    model = build(name, num_key_value_heads=4)
    alone = model(input_ids=torch.tensor([IDS])).logits
    count_positions(SimpleNamespace(model=model))
    ids = torch.tensor([[2] * padding + IDS])
    mask = torch.tensor([[0] * padding + [1] * len(IDS)])
    padded = model(input_ids=ids, attention_mask=mask).logits[:, padding:]
    assert torch.allclose(padded, alone, atol=1e-4)


def test_without_it_gpt2_is_elsewhere() -> None:
    import torch

    model: Any = build("gpt2", num_key_value_heads=4)
    alone = model(input_ids=torch.tensor([IDS])).logits
    mask = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1]])
    padded = model(input_ids=torch.tensor([[2, 2, 2, *IDS]]), attention_mask=mask).logits[:, 3:]
    assert float((padded - alone).abs().max()) > 0.1


def test_positions_that_are_given_stay() -> None:
    import torch

    model = build("gpt2", num_key_value_heads=4)
    count_positions(SimpleNamespace(model=model))
    ids, mask = torch.tensor([[2, *IDS]]), torch.tensor([[0, 1, 1, 1, 1, 1]])
    positions = torch.arange(6)[None]
    told = model(input_ids=ids, attention_mask=mask, position_ids=positions).logits
    counted = model(input_ids=ids, attention_mask=mask).logits
    assert not torch.allclose(told[:, 1:], counted[:, 1:], atol=1e-3)
