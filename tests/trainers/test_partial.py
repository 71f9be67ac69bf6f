"""Methods that move a part of the weights, or none: what moves, what stays, what is refused."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from steelyard.harness.checkpoints import check, load_model
from steelyard.harness.checkpoints.model import load_model_folder
from steelyard.harness.errors import CheckpointError, TrainingError
from steelyard.harness.records import Checkpoint
from steelyard.harness.scoring import open_model
from steelyard.trainers.freeze import Freeze
from steelyard.trainers.loops.options import LoraOptions
from steelyard.trainers.qlora import Qlora
from tests.trainers import tiny_jobs

FAST: dict[str, Any] = {"steps": 3, "batch_size": 8, "learning_rate": 1e-2}


def moved(before: Checkpoint, after: Checkpoint) -> set[str]:
    """Names of the parameters that training changed."""
    (one, _), (two, _) = load_model(before), load_model(after)
    there = dict(two.named_parameters())
    return {name for name, value in one.named_parameters() if not torch.equal(value, there[name])}


def test_freeze_moves_the_last_layer_and_leaves_the_rest_bit_for_bit(
    base: Checkpoint, tmp_path: Path
) -> None:
    frozen = tiny_jobs.train("freeze", base, tmp_path / "freeze", layers=1, **FAST)
    names = moved(base, frozen)
    assert names
    assert all(name.startswith("model.layers.1.") for name in names)
    assert frozen.manifest.parameters_trained < frozen.manifest.parameters  # type: ignore[operator]


def test_freeze_moves_what_a_pattern_names(base: Checkpoint, tmp_path: Path) -> None:
    frozen = tiny_jobs.train("freeze", base, tmp_path / "f", pattern=r"norm\.weight$", **FAST)
    names = moved(base, frozen)
    assert names
    assert all(name.endswith("norm.weight") for name in names)


def test_freeze_names_a_pattern_that_matches_nothing_and_layers_that_are_not_there(
    base: Checkpoint, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match="no parameter's name matches pattern 'q_prog'"):
        tiny_jobs.train("freeze", base, tmp_path / "a", pattern="q_prog", **FAST)
    with pytest.raises(TrainingError, match="layers: 3, but the model has 2"):
        tiny_jobs.train("freeze", base, tmp_path / "b", layers=3, **FAST)
    with pytest.raises(ValidationError, match="give layers or pattern, not both"):
        Freeze(layers=1, pattern="norm")
    with pytest.raises(ValidationError, match="not a regular expression"):
        Freeze(pattern="(")


@pytest.mark.parametrize(
    "options", [{"use_dora": True}, {"use_rslora": True}, {"init_lora_weights": "pissa"}]
)
def test_loras_relatives_are_stored_as_adapters_of_the_untouched_base(
    base: Checkpoint, tmp_path: Path, options: dict[str, Any]
) -> None:
    lora = tiny_jobs.train("lora", base, tmp_path / "lora", rank=4, **FAST, **options)
    plain = tiny_jobs.train("lora", base, tmp_path / "plain", rank=4, **FAST)
    assert lora.manifest.format == "adapter"
    assert lora.manifest.digests.weights == base.manifest.digests.weights
    assert lora.manifest.digest != plain.manifest.digest
    found = check(lora, base)
    assert "move by" in found["adapter applied"]
    assert lora.manifest.loss_curve[0].loss == pytest.approx(
        plain.manifest.loss_curve[0].loss, rel=1e-4
    )  # whatever the start of A and B, the first step sees the base
    kept = json.loads((lora.folder / "adapter_config.json").read_text())
    assert kept["init_lora_weights"] is True


def test_pissa_goes_with_float_weights_and_without_dora() -> None:
    with pytest.raises(ValidationError, match="pissa and use_dora do not go together"):
        LoraOptions(init_lora_weights="pissa", use_dora=True)
    with pytest.raises(ValidationError, match="pissa needs float weights"):
        Qlora(init_lora_weights="pissa")


def test_ia3_merges_and_trains_little(base: Checkpoint, tmp_path: Path) -> None:
    beside = tiny_jobs.train("ia3", base, tmp_path / "a" / "ia3", **FAST)
    merged = tiny_jobs.train("ia3", base, tmp_path / "b" / "ia3", merge=True, **FAST)
    assert (beside.manifest.format, merged.manifest.format) == ("adapter", "full")
    # Two layers: key and value of 2 heads x 8, feed-forward of 64.
    assert beside.manifest.parameters_trained == 2 * (16 + 16 + 64)
    (one, _), (two, _) = load_model(beside), load_model(merged)
    assert torch.equal(tiny_jobs.logits(one), tiny_jobs.logits(two))


@pytest.mark.parametrize("name", ["prompt_tuning", "prefix"])
def test_virtual_tokens_learn_and_no_weight_moves(
    base: Checkpoint, tmp_path: Path, name: str
) -> None:
    tuned = tiny_jobs.train(
        name, base, tmp_path / name, virtual_tokens=6, steps=30, batch_size=16, learning_rate=0.1
    )
    curve = tuned.manifest.loss_curve
    assert curve[-1].loss < curve[0].loss - 0.5
    assert tuned.manifest.format == "adapter"
    assert tuned.manifest.digests.weights == base.manifest.digests.weights
    assert "merged equals unmerged" not in check(tuned, base)


@pytest.mark.parametrize("name", ["prompt_tuning", "prefix"])
def test_the_scorer_serves_virtual_tokens_as_peft_does(
    base: Checkpoint, tmp_path: Path, name: str
) -> None:
    from lm_eval.api.instance import Instance

    tuned = tiny_jobs.train(name, base, tmp_path / name, virtual_tokens=5, **FAST)
    draw = random.Random(0)
    pairs = [
        (" ".join(draw.choices(tiny_jobs.WORDS, k=draw.randint(1, 9))), f" {word}")
        for word in tiny_jobs.WORDS
    ]
    asked = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(pairs)]
    scorer = open_model(base.folder, adapter=tuned.folder)
    ours = [value for value, _ in scorer.loglikelihood(asked)]
    loaded = load_model_folder(base.folder, adapter=tuned.folder, dtype="float32")
    for (context, answer), found in zip(pairs, ours, strict=True):
        ids = loaded.tokenizer(context + answer, return_tensors="pt")["input_ids"]
        start = len(loaded.tokenizer(context)["input_ids"])
        with torch.inference_mode():
            rows = loaded.model(ids).logits[0, -ids.shape[1] : -1].log_softmax(-1)
        expected = rows.gather(1, ids[0, 1:, None])[start - 1 :].sum()
        assert found == pytest.approx(float(expected), rel=1e-5)


def test_virtual_tokens_cannot_be_merged_and_both_ends_say_so(
    base: Checkpoint, tmp_path: Path
) -> None:
    lora = tiny_jobs.train("lora", base, tmp_path / "lora", **FAST)
    with pytest.raises(CheckpointError, match=r"stands on full weights.*'lora' holds none"):
        tiny_jobs.train("prefix", lora, tmp_path / "prefix", **FAST)
    tuned = tiny_jobs.train("prompt_tuning", base, tmp_path / "prompt", **FAST)
    with pytest.raises(CheckpointError, match="'prompt' is virtual tokens, which cannot be merged"):
        tiny_jobs.train("full", tuned, tmp_path / "full", **FAST)


# --- layers at their own pace -------------------------------------------------------------------


def test_a_rate_that_decays_with_depth_moves_deep_layers_less(
    base: Checkpoint, tmp_path: Path
) -> None:
    tuned = tiny_jobs.train(
        "full", base, tmp_path / "full", layer_decay=0.1, steps=1, learning_rate=1e-3,
        warmup_ratio=0.0, scheduler="constant",
    )  # fmt: skip
    (one, _), (two, _) = load_model(base), load_model(tuned)
    step = {
        name: float((two.get_parameter(name) - value).abs().max().detach())
        for name, value in one.named_parameters()
    }
    # AdamW's first step is the learning rate, whatever the gradient.
    assert step["model.norm.weight"] == pytest.approx(1e-3, rel=1e-2)
    assert step["model.layers.1.mlp.up_proj.weight"] == pytest.approx(1e-4, rel=1e-2)
    assert step["model.layers.0.mlp.up_proj.weight"] == pytest.approx(1e-5, rel=2e-2)
    assert step["model.embed_tokens.weight"] == pytest.approx(1e-6, rel=0.3)


def test_one_rate_by_groups_is_the_trainers_own_optimizer(
    base: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from steelyard.trainers.loops import layers

    made = layers.discriminative_optimizer
    monkeypatch.setattr(layers, "discriminative_optimizer", lambda t, decay: made(t, 1.0))
    options = FAST | {"weight_decay": 0.1}
    plain = tiny_jobs.train("full", base, tmp_path / "a" / "full", **options)
    grouped = tiny_jobs.train("full", base, tmp_path / "b" / "full", layer_decay=0.5, **options)
    assert plain.manifest.digests.weights == grouped.manifest.digests.weights


def test_layers_thaw_from_the_last(base: Checkpoint, tmp_path: Path) -> None:
    options = FAST | {"steps": 2}
    early = tiny_jobs.train("full", base, tmp_path / "a", unfreeze_over=1.0, **options)
    names = moved(base, early)  # of 2 steps the first has the last layer, the second one more
    assert any(name.startswith("model.layers.1.") for name in names)
    assert "model.norm.weight" in names
    assert "model.embed_tokens.weight" not in names
    done = tiny_jobs.train("full", base, tmp_path / "b", unfreeze_over=0.5, **options)
    assert "model.embed_tokens.weight" in moved(base, done)
    assert done.manifest.parameters_trained == done.manifest.parameters
