"""An adapter merged into weights says what model and adapter said together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from steelyard.harness.checkpoints.merging import merged, tied, untie
from tests.harness.scoring.architectures import build

TIED = {"tie_word_embeddings": True}


def adapted(name: str, **config: Any) -> Any:
    """A random LoRA on a random model."""
    import torch
    from peft import LoraConfig, get_peft_model

    model = build(name, **TIED)
    torch.manual_seed(3)
    return get_peft_model(model, LoraConfig(r=4, init_lora_weights=False, **config)).eval()


def logits(model: Any) -> Any:
    import torch

    with torch.inference_mode():
        return model(input_ids=torch.arange(3, 35)[None]).logits


@pytest.mark.parametrize(
    ("name", "embedding", "head"),
    [("llama", "embed_tokens", "lm_head"), ("gpt2", "wte", "lm_head")],
)
@pytest.mark.parametrize("kind", ["input", "output", "saved input"])
def test_an_adapter_on_one_of_two_tied_embeddings_unties_them(
    name: str, embedding: str, head: str, kind: str, tmp_path: Path
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    if kind == "saved input":
        model = adapted(name, target_modules=["q_proj" if name == "llama" else "c_attn"],
                        modules_to_save=[embedding])  # fmt: skip
        with torch.no_grad():
            model.get_input_embeddings().weight.normal_(std=0.15)
    else:
        model = adapted(name, target_modules=[embedding if kind == "input" else head])
    before = logits(model)
    plain = merged(model)
    assert not tied(plain) and plain.config.tie_word_embeddings is False
    assert torch.allclose(logits(plain), before, atol=1e-5)
    plain.save_pretrained(tmp_path)
    stored = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert torch.allclose(logits(stored), before, atol=1e-5)


def test_peft_alone_moves_both() -> None:
    import torch

    model = adapted("llama", target_modules=["embed_tokens"])
    before = logits(model)
    apart = (logits(model.merge_and_unload()) - before).abs().max()
    assert apart > 0.1 * before.abs().max(), "then ours is no longer needed"
    assert not torch.isnan(apart)


def test_an_adapter_elsewhere_leaves_them_tied() -> None:
    import torch

    model = adapted("llama", target_modules=["q_proj"])
    before = logits(model)
    plain = merged(model)
    assert tied(plain) and plain.config.tie_word_embeddings is True
    assert torch.allclose(logits(plain), before, atol=1e-5)


@pytest.mark.parametrize(
    "config",
    [
        {"target_modules": ["q_proj"], "trainable_token_indices": [5, 9]},
        {"target_modules": ["embed_tokens"], "ensure_weight_tying": True},
        {
            "target_modules": ["q_proj"],
            "modules_to_save": ["embed_tokens"],
            "ensure_weight_tying": True,
        },
    ],
    ids=["few tokens", "lora", "saved"],
)
def test_an_adapter_of_both_leaves_them_tied(config: dict[str, Any]) -> None:
    import torch

    model = adapted("llama", **config)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if "trainable_tokens_delta" in parameter_name or "modules_to_save" in parameter_name:
                parameter.normal_(std=0.3)
    before = logits(model)
    plain = merged(model)
    assert tied(plain) and plain.config.tie_word_embeddings is True
    assert torch.allclose(logits(plain), before, atol=1e-4)


def test_untying_changes_no_logit(tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = build("llama", **TIED)
    before = logits(model)
    untie(model)
    model.save_pretrained(tmp_path)
    assert torch.equal(logits(model), before)
    assert torch.equal(logits(AutoModelForCausalLM.from_pretrained(tmp_path)), before)
