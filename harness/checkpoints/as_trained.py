"""What a model said while it was still in memory, held against what its checkpoint says.

Whoever writes a checkpoint leaves ``as_trained.json`` beside it: some rows of token ids and the
log-probabilities that the model in memory gave to the tokens that were learnt. After a training
they come from the trainer's own loss on training rows; where nothing is trained (a merge, a
quantisation) from the logits of a fixed row. The check reads the checkpoint in a fresh process,
asks it for the same numbers, one row at a time and without padding, and removes the file.

What is held is the mean over the tokens of the absolute difference of their log-probabilities, in
nats: it is never less than the difference of the two losses, and differences that cancel count.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from steelyard.harness.checkpoints.four_bits import keep_layout
from steelyard.harness.errors import CheckpointError
from steelyard.harness.files import write_atomic
from steelyard.harness.records import Record

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

FILE = "as_trained.json"
#: Bounds, in nats a token where the loss is at most 1, and as a share of it above. float32: two
#: shapes of one product differ by 1e-6 to 1e-5 in a few layers, and an adapter merged into thirty
#: layers of SmolLM2 by 1e-4.
FLOAT32_BOUND = 1e-3
#: bfloat16 and float16 arithmetic in training, float32 afterwards: 8 bits of every activation.
HALF_BOUND = 5e-2
#: 4 bits chosen elsewhere, held against the whole weights: a share of the loss.
FOUR_BIT_BOUND = 0.25
#: An adapter trained over 4-bit weights and stored for the whole ones: it may be apart by so many
#: times what rounding to 4 bits moves the same tokens without the adapter.
ROUNDING_FACTOR = 3.0
#: Not asked for: padding, and what is not learnt.
NOT_ASKED = -100
#: Length of the fixed row that a model is asked where nothing is trained.
ROW_TOKENS = 32


class AskedRow(Record):
    """One row of tokens, and what the model in memory gave to those that were asked for."""

    input_ids: tuple[int, ...]
    labels: tuple[int, ...]
    """Of a decoder, as long as ``input_ids``; ``NOT_ASKED`` where nothing is asked."""
    values: tuple[float, ...]
    """Log-probabilities in nats of the asked labels, in order; of a reward model its reward."""
    without_adapter: tuple[float, ...] | None = None
    """The same without the adapter, where weights beneath it were rounded."""


class AsTrained(Record):
    """What the model in memory said, and how far from it the checkpoint may be."""

    rows: tuple[AskedRow, ...]
    source: str
    """Where the numbers come from: ``the trainer's loss``, or ``the logits in memory``."""
    bound: float
    temperature: float = 1.0
    """What the trainer divides logits by."""


def write_as_trained(folder: Path, as_trained: AsTrained) -> None:
    """Leave it beside the checkpoint for the check."""
    write_atomic(folder / FILE, as_trained.model_dump_json())


def take_as_trained(folder: Path) -> AsTrained | None:
    """What was left in ``folder``; None where whoever wrote the checkpoint left nothing."""
    file = folder / FILE
    return AsTrained.model_validate_json(file.read_bytes()) if file.is_file() else None


def keep_logits(model: PreTrainedModel, folder: Path, *, bound: float = FLOAT32_BOUND) -> None:
    """Leave what ``model`` says now to a fixed row, where its trainer has left nothing.

    For methods without a loop; call it before the model is written, or is changed by writing it.
    """
    if (folder / FILE).is_file():
        return
    keep_layout(model)  # or the model that is stored would not be the one that is asked
    was_training = model.training
    model.eval()
    ids = _fixed_row(model)
    values = values_of(model, ids, ids)
    model.train(was_training)
    row = AskedRow(input_ids=ids, labels=ids, values=values)
    write_as_trained(folder, AsTrained(rows=(row,), source="the logits in memory", bound=bound))


def _fixed_row(model: PreTrainedModel) -> tuple[int, ...]:
    """Token ids spread over the vocabulary."""
    rows = int(model.get_input_embeddings().weight.shape[0])
    return tuple((1 + number * max(rows // ROW_TOKENS, 1)) % rows for number in range(ROW_TOKENS))


def values_of(
    model: PreTrainedModel,
    input_ids: Sequence[int],
    labels: Sequence[int],
    temperature: float = 1.0,
) -> tuple[float, ...]:
    """Log-probabilities in nats of the labels that are asked for, of one row, in float32.

    A decoder predicts a label from the position before it; the first has none, unless virtual
    tokens stand in front. An encoder-decoder predicts ``labels`` from ``input_ids``.
    """
    import torch

    ids = torch.tensor([list(input_ids)], device=model.device)
    asked = torch.tensor([list(labels)], device=model.device)
    mask = torch.ones_like(ids)
    decoder = {"labels": asked} if model.config.is_encoder_decoder else {}
    with torch.no_grad():
        output = model(input_ids=ids, attention_mask=mask, use_cache=False, **decoder)
    return label_values(output.logits[0], asked[0], bool(decoder), temperature)


def label_values(
    logits: torch.Tensor, labels: torch.Tensor, encoder_decoder: bool, temperature: float = 1.0
) -> tuple[float, ...]:
    """Log-probabilities of the asked labels ``(n,)`` under logits ``(n or more, vocabulary)``."""
    if not encoder_decoder:
        # Virtual tokens stand in front: a position more for each.
        virtual = len(logits) - len(labels)
        labels = labels if virtual else labels[1:]
        logits = logits[len(logits) - 1 - len(labels) : -1]
    asked = labels != NOT_ASKED
    spread = (logits[asked].float() / temperature).log_softmax(-1)
    return tuple(spread.gather(-1, labels[asked][:, None])[:, 0].tolist())


def rewards_of(model: PreTrainedModel, rows: Iterable[AskedRow]) -> list[tuple[float, ...]]:
    """The reward of every row, by a model that gives one."""
    import torch

    rewards = []
    for row in rows:
        ids = torch.tensor([row.input_ids], device=model.device)
        with torch.no_grad():
            output = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
        rewards.append(tuple(output.logits[0].float().tolist()))
    return rewards


class _Kind(NamedTuple):
    """What is compared: its name, what one of it is of, and the sign of its mean."""

    name: str
    unit: str
    sign: int


_LOSS = _Kind("loss", "token", -1)
_REWARD = _Kind("mean reward", "text", 1)


def held(model: PreTrainedModel, as_trained: AsTrained) -> str:
    """Hold a checkpoint that was read from the disk against what the model in memory said.

    Returns:
        Both losses and the bound, in words, for the manifest.

    Raises:
        CheckpointError: they are apart by more than the bound; both losses stand in the message.
    """
    rows = as_trained.rows
    stored = [values_of(model, row.input_ids, row.labels, as_trained.temperature) for row in rows]
    return _compared(model, as_trained, stored, _LOSS)


def held_reward(model: PreTrainedModel, as_trained: AsTrained) -> str:
    """The same of a model that gives a reward for a text."""
    return _compared(model, as_trained, rewards_of(model, as_trained.rows), _REWARD)


def _compared(
    model: PreTrainedModel,
    as_trained: AsTrained,
    stored: list[tuple[float, ...]],
    kind: _Kind,
) -> str:
    before = [value for row in as_trained.rows for value in row.values]
    after = [value for values in stored for value in values]
    trained, read = kind.sign * _mean(before), kind.sign * _mean(after)
    apart = _apart(before, after)
    bound = as_trained.bound * max(1.0, abs(trained)) + _rounding(model, as_trained)
    said = (
        f"{kind.name} {trained:.4f} as trained, {read:.4f} as stored, over {len(before)} "
        f"{kind.unit}s of {len(as_trained.rows)} rows"
    )
    if not apart <= bound:
        raise CheckpointError(
            f"what is stored is not what was trained: {said}, apart by {apart:.2g} a {kind.unit} "
            f"(at most {bound:.2g}; by {as_trained.source})",
            fix="the checkpoint is thrown away; a method that changes fewer parts may do, "
            "or report it with the recipe",
        )
    return (
        f"{said}, apart by {apart:.1g} a {kind.unit} (at most {bound:.1g}; by {as_trained.source})"
    )


def _rounding(model: PreTrainedModel, as_trained: AsTrained) -> float:
    """What is added to the bound of an adapter whose base was rounded while it was trained."""
    rows = [row for row in as_trained.rows if row.without_adapter is not None]
    switched_off = getattr(model, "disable_adapter", None)
    if not rows or switched_off is None:
        return 0.0
    with switched_off():
        whole = [
            value
            for row in rows
            for value in values_of(model, row.input_ids, row.labels, as_trained.temperature)
        ]
    rounded = [value for row in rows for value in row.without_adapter or ()]
    return ROUNDING_FACTOR * _apart(rounded, whole)


def _apart(before: Sequence[float], after: Sequence[float]) -> float:
    return _mean([abs(a - b) for a, b in zip(before, after, strict=True)])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
