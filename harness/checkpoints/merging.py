"""Merges a PEFT adapter into weights that then say what model and adapter said together.

PEFT adds an adapter's change to one tensor. Where input and output embedding are one tensor and the
adapter stands on one of them, adding it would move both: the model that was trained has two
embeddings, and so has what is stored (huggingface/peft #2018).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PreTrainedModel


def merged(model: PeftModel) -> PreTrainedModel:
    """The model with its adapter merged into its weights; ``model`` is used up.

    An adapter on tied embeddings unties them, unless it changes both alike.
    """
    was_tied = model.config.get_text_config().tie_word_embeddings
    _set_head_apart(model.get_base_model())
    plain: PreTrainedModel = model.merge_and_unload()
    _say_tied(plain, was_tied)  # PEFT has untied whatever lies in two tensors by now
    tie_as_they_are(plain)
    return plain


def tie_as_they_are(model: PreTrainedModel) -> None:
    """Have the configuration say whether input and output embedding are one.

    What is stored under a configuration that ties them, or reads as if, must be one tensor.
    """
    import torch

    head = model.get_output_embeddings()
    if head is None or not model.config.get_text_config().tie_word_embeddings:
        return
    embedding = model.get_input_embeddings()
    if head.weight is embedding.weight:
        return
    if head.weight.shape == embedding.weight.shape and torch.allclose(
        head.weight, embedding.weight, rtol=1e-5, atol=1e-7
    ):
        head.weight = embedding.weight
        return
    _say_tied(model, False)


def tied(model: PreTrainedModel) -> bool:
    """Whether input and output embedding are one tensor."""
    head = model.get_output_embeddings()
    return head is not None and head.weight is model.get_input_embeddings().weight


def untie(model: PreTrainedModel) -> None:
    """Give the output matrix a tensor of its own; the model computes what it did."""
    if tied(model):
        _set_head_apart(model, always=True)
        _say_tied(model, False)


def _say_tied(model: PreTrainedModel, is_tied: bool) -> None:
    for config in (model.config, model.config.get_text_config()):
        config.tie_word_embeddings = is_tied
    model.all_tied_weights_keys = model.get_expanded_tied_weights_keys(all_submodels=True)


def _set_head_apart(base: PreTrainedModel, *, always: bool = False) -> None:
    """Give the output matrix a tensor of its own where an adapter stands on one of two tied."""
    import torch

    embedding, head = base.get_input_embeddings(), base.get_output_embeddings()
    if head is None:
        return
    below, above = beneath(embedding), beneath(head)
    wrapped = below is not embedding or above is not head
    if above.weight is below.weight and (wrapped or always):
        above.weight = torch.nn.Parameter(above.weight.detach().clone(), requires_grad=False)


def beneath(module: torch.nn.Module) -> torch.nn.Module:
    """The module that PEFT has wrapped, however often."""
    while True:
        inner = getattr(module, "base_layer", None) or getattr(module, "original_module", None)
        if inner is None:
            return module
        module = inner
