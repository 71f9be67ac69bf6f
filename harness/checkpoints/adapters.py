"""Puts a PEFT adapter on a model and proves that it is there.

A mismatch between an adapter's key names and the model's modules is only a warning in PEFT: the
model then scores as its base, and every comparison says "no difference". So two things are
checked: the tensors of the file are in the model, and the logits differ from the base's, unless
the adapter does nothing by construction (freshly made: all LoRA B are zero).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from steelyard.harness.checkpoints.shown import shown_adapter
from steelyard.harness.errors import CheckpointError, located

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PreTrainedModel

_NAME_THE_BASE = "name the base model that the adapter was trained on"


def apply_adapter(model: PreTrainedModel, adapter: str) -> PreTrainedModel:
    """Return the model with the adapter on it.

    Raises:
        CheckpointError: the adapter does not fit the model, or has no effect although it should.
    """
    from peft import PeftModel

    try:
        with _shown(adapter) as shown:
            adapted: PeftModel = PeftModel.from_pretrained(model, shown, is_trainable=False)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        problem = f"does not fit the model: {first}"
        raise CheckpointError(problem, file=adapter, fix=_NAME_THE_BASE) from error
    adapted.eval()
    with located(file=adapter):
        _check_tensors(adapted, Path(adapter) / "adapter_model.safetensors")
        _check_effect(adapted)
    return adapted


@contextmanager
def _shown(adapter: str) -> Iterator[str]:
    """Where PEFT reads the adapter: of a local folder only what counts, else the hub's id."""
    if not Path(adapter).is_dir():
        yield adapter
        return
    with shown_adapter(Path(adapter)) as folder:
        yield str(folder)


def _check_tensors(adapted: PeftModel, file: Path) -> None:
    """Every tensor of the adapter's file has a place in the model."""
    if not file.is_file():
        return
    from peft import get_peft_model_state_dict
    from safetensors import safe_open

    there = set(get_peft_model_state_dict(adapted))
    with safe_open(str(file), framework="pt") as tensors:
        missing = sorted(key for key in tensors.keys() if key not in there)  # noqa: SIM118
    if missing:
        raise CheckpointError(
            f"{len(missing)} of its tensors found no place in the model, such as {missing[0]}",
            fix=_NAME_THE_BASE,
        )


def _check_effect(adapted: PeftModel) -> None:
    """The logits differ from the base's, unless the adapter does nothing by its own numbers."""
    import torch

    with torch.inference_mode():
        ours = _logits(adapted)
        with adapted.disable_adapter():
            base = _logits(adapted)
    if torch.equal(ours, base) and not _does_nothing(adapted):
        fix = "check target_modules in adapter_config.json"
        raise CheckpointError(
            "the adapter is not applied: its logits are the base model's", fix=fix
        )


def _logits(model: PeftModel) -> torch.Tensor:
    import torch

    rows = model.get_input_embeddings().weight.shape[0]
    tokens = torch.arange(1, 17, device=model.device).remainder(rows)[None]
    options = {"decoder_input_ids": tokens} if model.config.is_encoder_decoder else {}
    return model(input_ids=tokens, use_cache=False, **options).logits


def _does_nothing(adapted: PeftModel) -> bool:
    """Whether the adapter is the identity by its own numbers.

    LoRA-like updates end in a factor that starts at zero (``lora_B``, VeRA's ``lambda_b``,
    ``oft_r``); IA3 and the like scale by vectors that start at one.
    """
    zero_at_start = ("lora_B", "lora_embedding_B", "lambda_b", "oft_r", "hada_w2_a", "lora_E")
    factors = [
        (name, value)
        for name, value in adapted.named_parameters()
        if any(part in name for part in zero_at_start)
    ]
    if factors:
        return all(not bool(value.any()) for _, value in factors)
    scales = [value for name, value in adapted.named_parameters() if "ia3_" in name]
    return bool(scales) and all(bool((value == 1).all()) for value in scales)
