"""What a model said in memory is held against what its checkpoint says."""

from __future__ import annotations

from pathlib import Path

import pytest

from steelyard.harness.checkpoints import as_trained
from steelyard.harness.checkpoints.as_trained import (
    NOT_ASKED,
    AskedRow,
    AsTrained,
    held,
    keep_logits,
    take_as_trained,
    values_of,
)
from steelyard.harness.errors import CheckpointError
from tests.harness.scoring.architectures import build, build_t5

IDS = tuple(range(5, 25))
LABELS = (*[NOT_ASKED] * 8, *IDS[8:])


def test_the_values_of_a_row_are_the_loss_that_transformers_computes() -> None:
    import torch

    model = build("llama")
    loss = model(input_ids=torch.tensor([IDS]), labels=torch.tensor([LABELS])).loss
    values = values_of(model, IDS, LABELS)
    assert len(values) == 12
    assert -sum(values) / 12 == pytest.approx(float(loss), rel=1e-5)


def test_so_they_are_for_an_encoder_decoder() -> None:
    import torch

    model = build_t5()
    labels = (7, 8, 9, 1)
    loss = model(input_ids=torch.tensor([IDS]), labels=torch.tensor([labels])).loss
    values = values_of(model, IDS, labels)
    assert -sum(values) / 4 == pytest.approx(float(loss), rel=1e-5)


def test_a_model_that_says_what_it_said_is_within_the_bound(tmp_path: Path) -> None:
    keep_logits(build("llama"), tmp_path)
    left = take_as_trained(tmp_path)
    assert left is not None and len(left.rows[0].values) == as_trained.ROW_TOKENS - 1
    words = held(build("llama"), left)
    assert "as trained" in words and "at most 0.00" in words and "the logits in memory" in words


def test_another_model_is_an_error_with_both_losses(tmp_path: Path) -> None:
    keep_logits(build("llama"), tmp_path)
    left = take_as_trained(tmp_path)
    assert left is not None
    other = build("llama", seed=1)
    row = left.rows[0]
    trained = -sum(row.values) / len(row.values)
    stored = -sum(values_of(other, row.input_ids, row.labels)) / len(row.values)
    with pytest.raises(CheckpointError, match="what is stored is not what was trained") as told:
        held(other, left)
    assert f"loss {trained:.4f} as trained, {stored:.4f} as stored" in str(told.value)


def test_differences_that_cancel_in_the_loss_are_found() -> None:
    model = build("llama")
    values = values_of(model, IDS, LABELS)
    turned = tuple(value + (1 if at % 2 else -1) for at, value in enumerate(values))
    row = AskedRow(input_ids=IDS, labels=LABELS, values=turned)
    with pytest.raises(CheckpointError, match="apart by 1 a token"):
        held(model, AsTrained(rows=(row,), source="the trainer's loss", bound=1e-3))


def test_what_the_trainer_left_is_not_replaced_by_logits(tmp_path: Path) -> None:
    row = AskedRow(input_ids=IDS, labels=LABELS, values=(-1.0,) * 12)
    as_trained.write_as_trained(
        tmp_path, AsTrained(rows=(row,), source="the trainer's loss", bound=1e-3)
    )
    keep_logits(build("llama"), tmp_path)
    left = take_as_trained(tmp_path)
    assert left is not None and left.source == "the trainer's loss"


def test_logits_are_kept_in_evaluation_mode_and_the_mode_is_given_back(tmp_path: Path) -> None:
    model = build("gpt2", resid_pdrop=0.5).train()
    keep_logits(model, tmp_path)
    assert model.training
    left = take_as_trained(tmp_path)
    assert left is not None
    held(build("gpt2", resid_pdrop=0.5), left)
