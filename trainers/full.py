"""Full supervised fine-tuning: every weight moves."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from steelyard.harness.checkpoints import load_model
from steelyard.harness.environment import quiet
from steelyard.harness.plugins import TrainJob
from steelyard.harness.records import Checkpoint
from steelyard.trainers.loops import layers, training
from steelyard.trainers.loops.callbacks import as_callback
from steelyard.trainers.loops.lessons import lessons
from steelyard.trainers.loops.method import Training, store_full
from steelyard.trainers.loops.options import ANSWERS, OTHER_KINDS, SupervisedOptions
from steelyard.trainers.loops.supervised import run, sft_trainer


class Full(SupervisedOptions):
    """Supervised fine-tuning of all weights on the completion's tokens."""

    data_roles: ClassVar[tuple[str, ...]] = ANSWERS
    other_data_roles: ClassVar[tuple[tuple[str, ...], ...]] = OTHER_KINDS
    libraries: ClassVar[tuple[str, ...]] = ("trl:SFTTrainer",)

    layer_decay: float = Field(
        1.0,
        gt=0,
        le=1,
        description="The learning rate times this for each layer down from the last; 1: one rate.",
    )
    unfreeze_over: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of the steps in which layers thaw, the last first; 0: all at once.",
    )

    def train(self, job: TrainJob) -> Checkpoint:
        """Train as TRL's SFTTrainer does. Raises ``TrainingError`` or ``DataError``."""
        data = lessons(job, self)
        training.prepare(job)
        model, tokenizer = load_model(job.start, trainable=True)
        with quiet():
            trainer = sft_trainer(self, job, model, tokenizer, data)
            if self.layer_decay < 1:
                trainer.optimizer = layers.discriminative_optimizer(trainer, self.layer_decay)
            if self.unfreeze_over:
                thawing = layers.GradualUnfreezing(model, self.unfreeze_over)
                trainer.add_callback(as_callback(thawing))
            watch = run(trainer, job, data, self)
            return store_full(model, Training(job, self, "full", watch, data.notes))
