from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from steelyard.harness.errors import ScoringError
from steelyard.harness.scoring import canary
from tests.harness.scoring.architectures import build


def test_a_model_that_takes_positions_from_places_is_caught(monkeypatch: Any) -> None:
    from transformers.models.llama.modeling_llama import LlamaModel

    forward = LlamaModel.forward

    def by_place(self: Any, *args: Any, **options: Any) -> Any:
        options.pop("position_ids", None)
        return forward(self, *args, **options)

    monkeypatch.setattr(LlamaModel, "forward", by_place)
    rung, choice = canary.choose(build("llama"))
    assert choice.tried["tree"].startswith("differs")
    assert rung.name == "copied"


def test_a_model_that_ignores_a_mask_it_is_given_is_caught(monkeypatch: Any) -> None:
    from transformers.models.llama import modeling_llama

    monkeypatch.setattr(modeling_llama, "create_causal_mask", lambda **_: None)
    _, choice = canary.choose(build("llama"))
    assert choice.rung != "tree"


def test_a_wrong_sliding_window_is_caught_although_the_small_tree_is_short(
    monkeypatch: Any,
) -> None:
    from steelyard.harness.scoring.passes.masks import MaskStyle

    monkeypatch.setattr(MaskStyle, "_seen", lambda self, kind, visible, queries, keys: visible)
    _, choice = canary.choose(build("mistral", sliding_window=100))
    assert choice.tried["tree"].startswith("differs")


def test_the_window_is_put_back_after_the_check() -> None:
    model = build("gemma2", sliding_window=100)
    canary.choose(model)
    assert model.config.sliding_window == 100


def test_a_model_of_nans_is_an_error() -> None:
    model = build("llama")
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight.fill_(float("nan"))
    with pytest.raises(ScoringError, match="NaN"):
        canary.choose(model)


def test_bf16_keeps_the_fast_rung() -> None:
    _, choice = canary.choose(build("llama").to(torch.bfloat16))
    assert choice.rung == "tree", choice


@pytest.mark.parametrize(("method", "loose"), [("gguf", False), ("bitsandbytes", True)])
def test_what_is_unpacked_when_it_is_read_is_held_to_the_tolerance_of_its_type(
    method: str, loose: bool
) -> None:
    model = build("llama")
    config = SimpleNamespace(quant_method=method)
    model.hf_quantizer = SimpleNamespace(quantization_config=config)
    told = canary.choose(model)[1].tried["tree"]
    tolerance = float(told.split("tolerance ")[1].rstrip(")"))
    assert (tolerance >= 1e-3) is loose


def test_the_choice_says_what_was_tried_and_how_far_apart_it_was() -> None:
    record = canary.choose(build("gpt_neo"))[1].as_record()
    assert record["rung"] == "copied"
    assert list(record["tried"]) == ["tree", "copied"]


def test_a_model_that_no_rung_scores_right_is_an_error(monkeypatch: Any) -> None:
    from steelyard.harness.scoring.passes import rungs

    rows = rungs.only_rows
    monkeypatch.setattr(rungs, "only_rows", lambda model, asked, n: rows(model, asked * 0, n))
    monkeypatch.setattr("steelyard.harness.scoring.passes.flat.only_rows", rungs.only_rows)
    with pytest.raises(ScoringError, match="no way of scoring agrees"):
        canary.choose(build("llama"))
