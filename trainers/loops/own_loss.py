"""The trainer's own loss after the last step, in evaluation mode, token by token.

It is left beside the checkpoint, and the check asks the checkpoint for the same tokens
(``harness/checkpoints/as_trained.py``). The rows are those of the last step; the numbers are those
that the trainer's own ``compute_loss`` gets from the model, by whatever way it gets them: TRL's
fused head, whole logits, or a reward.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from steelyard.harness.checkpoints import (
    FLOAT32_BOUND,
    HALF_BOUND,
    NOT_ASKED,
    AskedRow,
    AsTrained,
    label_values,
    write_as_trained,
)
from steelyard.trainers.loops.libraries import torch, transformers

#: So many rows, and tokens in all, are asked for again: a check must not cost what a step costs.
ROWS = 4
TOKENS = 1024


class OwnLoss:
    """Stands in front of a trainer's ``compute_loss`` and remembers the last step's batch."""

    def __init__(self, trainer: transformers.Trainer) -> None:
        self.trainer = trainer
        self.compute_loss = trainer.compute_loss
        self.batch: tuple[torch.nn.Module, dict[str, Any]] | None = None
        trainer.compute_loss = self

    def __call__(
        self, model: torch.nn.Module, inputs: Mapping[str, Any], *rest: object, **named: object
    ) -> Any:
        """The trainer's loss."""
        if model.training:
            self.batch = (model, dict(inputs))
        return self.compute_loss(model, inputs, *rest, **named)

    def keep(self, folder: Path) -> None:
        """Ask the trainer for its loss on the last step's rows, and leave the numbers.

        Every process of a launch must come here: they compute one loss together.
        """
        model, inputs = self.batch or self._first_batch()
        model.eval()
        seen = self._seen(model, inputs)
        rows = asked_rows(*seen, temperature=self._temperature)
        if not rows:
            return  # nothing in the last step was learnt: the check says that nothing is held
        if self._rounded_beneath(model):
            with self.trainer.accelerator.unwrap_model(model).disable_adapter():
                plain = asked_rows(*self._seen(model, inputs), temperature=self._temperature)
            rows = [
                row.model_copy(update={"without_adapter": other.values})
                for row, other in zip(rows, plain, strict=True)
            ]
        arguments = self.trainer.args
        half = arguments.bf16 or arguments.fp16
        as_trained = AsTrained(
            rows=tuple(rows),
            source="the trainer's loss",
            bound=HALF_BOUND if half else FLOAT32_BOUND,
            temperature=self._temperature,
        )
        write_as_trained(folder, as_trained)

    @property
    def _temperature(self) -> float:
        """By which GRPO and RLOO divide logits."""
        return float(getattr(self.trainer, "temperature", 1.0))

    def _rounded_beneath(self, model: torch.nn.Module) -> bool:
        plain = self.trainer.accelerator.unwrap_model(model)
        return hasattr(plain, "disable_adapter") and bool(
            getattr(plain.get_base_model(), "is_quantized", False)
        )

    def _first_batch(self) -> tuple[torch.nn.Module, dict[str, Any]]:
        """Where a resumed training had no step left to take."""
        batch = next(iter(self.trainer.get_train_dataloader()))
        return self.trainer.model, self.trainer._prepare_inputs(batch)

    def _seen(
        self, model: torch.nn.Module, inputs: Mapping[str, Any]
    ) -> tuple[dict[str, Any], Any]:
        """What the trainer's loss first asked the model, and the model's answer."""
        with (
            torch.no_grad(),
            self.trainer.compute_loss_context_manager(),
            _first_call(model) as seen,
        ):
            self.compute_loss(model, dict(inputs))
        return seen[0]


@contextmanager
def _first_call(model: torch.nn.Module) -> Iterator[list[tuple[dict[str, Any], Any]]]:
    """The first call of ``model`` in the block: arguments by name, and output.

    It is the model in training; a reference may follow, which is the same one without its adapter.
    """
    calls: list[tuple[dict[str, Any], Any]] = []

    def note(_: object, positional: Sequence[Any], named: dict[str, Any], output: Any) -> None:
        first = {"input_ids": positional[0]} if positional else {}
        if not calls:
            calls.append(({**first, **named}, output))

    handle = model.register_forward_hook(note, with_kwargs=True)
    try:
        yield calls
    finally:
        handle.remove()


def asked_rows(
    asked: Mapping[str, Any], output: Any, *, temperature: float = 1.0
) -> list[AskedRow]:
    """At most ``ROWS`` rows of a batch, spread over it, and what the model gave to their labels."""
    count = len(asked["input_ids"])
    size = min(ROWS, count)
    rows: list[AskedRow] = []
    tokens = 0
    for at in (number * count // size for number in range(size)):
        for row in _rows_at(at, asked, output, temperature):
            if row.values and (not rows or tokens + len(row.input_ids) <= TOKENS):
                rows.append(row)
                tokens += len(row.input_ids)
    return rows[:ROWS]


def _rows_at(
    at: int, asked: Mapping[str, Any], output: Any, temperature: float
) -> Iterator[AskedRow]:
    """The rows in one line of a batch: one, or several where they are packed."""
    ids = asked["input_ids"][at]
    mask = asked.get("attention_mask")
    there = torch.ones_like(ids).bool() if mask is None else mask[at].bool()
    labels = ids if asked.get("labels") is None else asked["labels"][at]
    own_ids = tuple(ids[there].tolist())
    fused = getattr(output, "log_probs", None) is not None
    if not fused and output.logits.ndim == 2:
        rewards = tuple(output.logits[at].float().tolist())
        yield AskedRow(input_ids=own_ids, labels=(), values=rewards)
        return
    if getattr(output, "encoder_last_hidden_state", None) is not None:
        if asked.get("labels") is None:
            labels = _next_of(asked["decoder_input_ids"][at])
        values = label_values(output.logits[at], labels, True, temperature)
        yield AskedRow(input_ids=own_ids, labels=tuple(labels.tolist()), values=values)
        return
    values_at = _values_at(at, output, labels, temperature)
    labels = torch.where(there & ~values_at.isnan(), labels, NOT_ASKED)
    positions = asked.get("position_ids")
    for begin, end in _segments(ids, there, positions[at] if positions is not None else None):
        inside = there[begin:end]
        own_labels = labels[begin:end][inside]
        if not _predicts_its_first(output, ids):
            own_labels[:1] = NOT_ASKED  # from padding, or from another row
        values = values_at[begin:end][inside][own_labels != NOT_ASKED]
        yield AskedRow(
            input_ids=tuple(ids[begin:end][inside].tolist()),
            labels=tuple(own_labels.tolist()),
            values=tuple(values.tolist()),
        )


def _next_of(decoder_input_ids: torch.Tensor) -> torch.Tensor:
    """The labels that a decoder was given shifted, padding aside; the last is not known any more.

    Labels begin behind a token that starts every one of them and pads most of them, too.
    """
    labels = torch.full_like(decoder_input_ids, NOT_ASKED)
    labels[:-1] = decoder_input_ids[1:]
    return labels.masked_fill(labels == decoder_input_ids[0], NOT_ASKED)


def _predicts_its_first(output: Any, ids: torch.Tensor) -> bool:
    """Whether virtual tokens stand in front of a row's first token."""
    if getattr(output, "log_probs", None) is not None:
        return int(output.log_probs.shape[1]) + 1 > len(ids)
    return int(output.logits.shape[1]) > len(ids)


def _values_at(at: int, output: Any, labels: torch.Tensor, temperature: float) -> torch.Tensor:
    """The log-probability of every label of a line; NaN where it is not asked for."""
    values = torch.full(labels.shape, torch.nan)
    if getattr(output, "log_probs", None) is not None:
        given = output.log_probs[at].float().cpu()
        asked = output.label_mask[at].cpu()
        size = min(len(given), len(labels))
        values[len(labels) - size :] = given.masked_fill(~asked, torch.nan)[len(given) - size :]
        return values.to(labels.device)
    virtual = output.logits.shape[1] - len(labels)
    asked = labels != NOT_ASKED
    if not virtual:
        asked[:1] = False
    own = label_values(output.logits[at], torch.where(asked, labels, NOT_ASKED), False, temperature)
    values[asked.cpu()] = torch.tensor(own)
    return values.to(labels.device)


def _segments(
    ids: torch.Tensor, there: torch.Tensor, positions: torch.Tensor | None
) -> list[tuple[int, int]]:
    """Where rows begin and end in a line; packed rows count their positions from 0."""
    if positions is None or not bool(there.all()):
        return [(0, len(ids))]
    begins = (positions == 0).nonzero().flatten().tolist() or [0]
    return list(zip(begins, [*begins[1:], len(ids)], strict=True))
