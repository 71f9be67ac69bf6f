"""TRL's fused head, and whole logits where it would be another model than the one that trains.

TRL's trainers multiply what the backbone gives by the output matrix, in tiles, and never build the
logits. Whatever a model does between the two (a prediction head, a scale of its own) is left out
or guessed from the configuration's names: ModernBertDecoder has a dense layer there, MPT ignores
the ``logit_scale`` that TRL multiplies by. So each model is asked both ways before it trains, and
where the answers differ it trains by its own logits.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Iterator
from typing import Any

from steelyard.trainers.loops.libraries import torch, transformers, trl_utils

#: Largest difference of a log-probability, in nats, between the fused head and whole logits.
#: float32 differs by 1e-6; a needless switch costs memory alone.
TOLERANCE = 1e-4
HALF_TOLERANCE = 5e-2
_PROBE_TOKENS = 8


def right_head(trainer: transformers.Trainer) -> list[str]:
    """Have the trainer's model, and its reference, trained by the logits that they give.

    Returns:
        A note where TRL's fused head gave others.
    """
    temperature = float(getattr(trainer, "temperature", 1.0))
    switched = [model for model in _fused(trainer) if _differs(model, temperature)]
    for model in switched:
        use_whole_logits(model, temperature)
    if not switched:
        return []
    name = type(switched[0]).__name__
    return [f"trained by whole logits: TRL's fused head leaves out a part of {name}"]


def _fused(trainer: transformers.Trainer) -> Iterator[transformers.PreTrainedModel]:
    """The models that TRL gave its head."""
    for model in filter(None, (trainer.model, getattr(trainer, "ref_model", None))):
        plain = model.get_base_model() if hasattr(model, "get_base_model") else model
        forward = vars(plain).get("forward")
        if forward is not None and "fused_lm_head" in forward.__code__.co_varnames:
            yield plain


def _differs(model: transformers.PreTrainedModel, temperature: float) -> bool:
    rows = int(model.get_input_embeddings().weight.shape[0])
    ids = (torch.arange(_PROBE_TOKENS, device=model.device) * 7 + 1).remainder(rows)[None]
    training = model.training
    model.eval()
    with torch.no_grad():
        fused = model(input_ids=ids, labels=ids, fused_lm_head=True).log_probs
        logits = model(input_ids=ids, use_cache=False).logits
    model.train(training)
    whole = _of_labels((logits[:, :-1] / temperature).float().log_softmax(-1), ids[:, 1:])
    tolerance = TOLERANCE if logits.dtype == torch.float32 else HALF_TOLERANCE
    return not float((fused.float() - whole).abs().max()) <= tolerance


def use_whole_logits(model: transformers.PreTrainedModel, temperature: float) -> None:
    """Put in place of TRL's fused head one that answers alike, from the model's own logits.

    A call without ``fused_lm_head`` goes where it went before.
    """
    before = model.forward

    @functools.wraps(type(model).forward)
    def forward(
        self: transformers.PreTrainedModel,
        *positional: Any,
        fused_lm_head: bool = False,
        labels: torch.Tensor | None = None,
        **named: Any,
    ) -> Any:
        if not fused_lm_head:
            own = {} if labels is None else {"labels": labels}
            return before(*positional, **own, **named)
        counted = named.pop("num_items_in_batch", None)
        output = before(*positional, **(named | {"use_cache": False}))
        return _as_fused(self, output, labels, temperature, counted)

    model.forward = types.MethodType(forward, model)


def _as_fused(
    model: transformers.PreTrainedModel,
    output: Any,
    labels: torch.Tensor,
    temperature: float,
    counted: torch.Tensor | None,
) -> Any:
    """TRL's output of a fused head, made of whole logits; numbers are 0 where nothing is asked."""
    spread = (output.logits[:, :-1] / temperature).float()
    mask = labels[:, 1:] != -100
    asked = labels[:, 1:].masked_fill(~mask, 0)
    log_probs = spread.log_softmax(-1)
    own = _of_labels(log_probs, asked).masked_fill(~mask, 0.0)
    entropy = -(log_probs.exp() * log_probs).sum(-1).masked_fill(~mask, 0.0)
    loss = -own.sum() / (mask.sum().clamp(min=1) if counted is None else counted)
    aux_loss = getattr(output, "aux_loss", None)
    if aux_loss is not None:
        loss = loss + model.config.get_text_config().router_aux_loss_coef * aux_loss
    with torch.no_grad():
        squares = (2 * log_probs).logsumexp(-1).masked_fill(~mask, 0.0)
        means = spread.mean(-1).masked_fill(~mask, 0.0)
        first = (spread.argmax(-1) == asked) & mask
    return trl_utils.FusedCausalLMOutput(
        loss=loss,
        log_probs=own,
        entropy=entropy,
        log_sum_sq_probs=squares,
        mean_logits=means,
        is_top1=first,
        label_mask=mask,
        aux_loss=aux_loss,
    )


def _of_labels(log_probs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return log_probs.gather(-1, labels[..., None])[..., 0]
