"""Partial fine-tuning: the last layers move, or the parameters that a pattern names.

The other weights stay bit for bit what they were, as in "surgical" fine-tuning [Lee et al. 2023,
arXiv 2210.11466].
"""

from __future__ import annotations

import re
from typing import ClassVar, Self

from pydantic import Field, model_validator

from steelyard.harness.checkpoints import load_model
from steelyard.harness.environment import quiet
from steelyard.harness.errors import TrainingError, did_you_mean
from steelyard.harness.plugins import TrainJob
from steelyard.harness.records import Checkpoint
from steelyard.trainers.loops import training
from steelyard.trainers.loops.layers import depths
from steelyard.trainers.loops.lessons import lessons
from steelyard.trainers.loops.libraries import transformers
from steelyard.trainers.loops.method import Training, store_full
from steelyard.trainers.loops.options import ANSWERS, OTHER_KINDS, SupervisedOptions
from steelyard.trainers.loops.supervised import run, sft_trainer


class Freeze(SupervisedOptions):
    """Supervised fine-tuning of a part of the weights; the rest is frozen."""

    data_roles: ClassVar[tuple[str, ...]] = ANSWERS
    other_data_roles: ClassVar[tuple[tuple[str, ...], ...]] = OTHER_KINDS
    libraries: ClassVar[tuple[str, ...]] = ("trl:SFTTrainer",)

    layers: int = Field(2, ge=1, description="How many layers train, counted from the last.")
    pattern: str | None = Field(
        None,
        description="Regular expression: parameters whose name it is found in train, instead of "
        "the last layers.",
    )

    @model_validator(mode="after")
    def _one_way_of_choosing(self) -> Self:
        if self.pattern is not None:
            if "layers" in self.model_fields_set:
                raise ValueError("give layers or pattern, not both")
            try:
                re.compile(self.pattern)
            except re.error as error:
                raise ValueError(f"pattern is not a regular expression: {error}") from error
        return self

    def train(self, job: TrainJob) -> Checkpoint:
        """Train as TRL's SFTTrainer does. Raises ``TrainingError`` or ``DataError``."""
        data = lessons(job, self)
        training.prepare(job)
        model, tokenizer = load_model(job.start, trainable=True)
        freeze(model, self)
        with quiet():
            trainer = sft_trainer(self, job, model, tokenizer, data)
            watch = run(trainer, job, data, self)
            return store_full(model, Training(job, self, "freeze", watch, data.notes))


def freeze(model: transformers.PreTrainedModel, options: Freeze) -> None:
    """Take the gradient from every parameter that is not to move.

    Raises:
        TrainingError: the model has fewer layers, or no parameter of a name that matches.
    """
    names = [name for name, _ in model.named_parameters()]
    if options.pattern is not None:
        moving = {name for name in names if re.search(options.pattern, name)}
        if not moving:
            raise TrainingError(
                f"no parameter's name matches pattern '{options.pattern}'",
                fix=did_you_mean(options.pattern, names),
            )
    else:
        moving = _last_layers(model, options.layers)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in moving)


def _last_layers(model: transformers.PreTrainedModel, layers: int) -> set[str]:
    count = int(model.config.get_text_config().num_hidden_layers)
    if layers > count:
        fix = f"give at most layers: {count}, or use trainer: full"
        raise TrainingError(f"layers: {layers}, but the model has {count}", fix=fix)
    return {name for name, depth in depths(model).items() if 1 <= depth <= layers}
