"""Loads a checkpoint for a trainer: one model with all its weights, and its tokenizer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from steelyard.harness.checkpoints.merging import merged
from steelyard.harness.checkpoints.model import load_model_folder
from steelyard.harness.checkpoints.special_tokens import without_end
from steelyard.harness.errors import CheckpointError
from steelyard.harness.records import Checkpoint

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def load_model(
    checkpoint: Checkpoint, *, trainable: bool = False, only_asked: bool = False
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model in float32 on the GPU where there is one, else the CPU, and its tokenizer.

    A decoder's tokenizer puts nothing behind a text, even where its files say so: trainers end
    their rows themselves. What is stored beside the result are the files as they are.

    An adapter is merged into the weights it stands on. With ``trainable`` the model is in training
    mode (libraries load in evaluation mode) and every parameter takes a gradient. A quantised
    model serves where it is ``only_asked``, as a teacher is: its weights are codes of numbers, and
    a mean of codes, or codes without their scales, is another model of the same shape.

    Raises:
        CheckpointError: it cannot be opened (one line says why), or it is quantised and its
            weights can therefore be neither trained nor merged.
    """
    loaded = load_model_folder(
        checkpoint.weights_folder,
        adapter=checkpoint.adapter_folder,
        gguf_file=checkpoint.gguf_file,
        dtype="float32",
    )
    model = loaded.model
    if checkpoint.gguf_file is not None:
        _forget_gguf(model)
    quantised = getattr(model, "quantization_method", None) is not None
    if quantised and not (only_asked and checkpoint.adapter_folder is None):
        fix = "do that first and quantise the result"
        raise CheckpointError(
            "quantised weights cannot be trained, merged or changed",
            file=checkpoint.weights_folder,
            fix=fix,
        )
    if checkpoint.adapter_folder is not None:
        model = _merged(model, checkpoint)
    for parameter in model.parameters():
        if parameter.is_floating_point():
            parameter.requires_grad_(trainable)
    decoder = not loaded.is_encoder_decoder
    tokenizer = without_end(loaded.tokenizer) if decoder else loaded.tokenizer
    return model.train(trainable), tokenizer


def _merged(model: PeftModel, checkpoint: Checkpoint) -> PreTrainedModel:
    if model.active_peft_config.is_prompt_learning:
        raise CheckpointError(
            f"'{checkpoint.manifest.candidate}' is virtual tokens, which cannot be merged into "
            "weights",
            file=checkpoint.folder,
            fix="make another candidate, or the base, the parent",
        )
    return merged(model)


def _forget_gguf(model: PreTrainedModel) -> None:
    """Mark weights that were read from a GGUF file as what they are by now: plain floats."""
    for name in ("hf_quantizer", "quantization_method", "is_quantized"):
        if hasattr(model, name):
            delattr(model, name)
    model.config.__dict__.pop("quantization_config", None)
