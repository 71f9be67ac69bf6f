"""IA3: learned scales of keys, values and feed-forward inputs.

[Liu et al. 2022, arXiv 2205.05638]
"""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from steelyard.harness.checkpoints import load_model
from steelyard.harness.environment import quiet
from steelyard.harness.plugins import TrainJob
from steelyard.harness.records import Checkpoint
from steelyard.trainers.loops import training
from steelyard.trainers.loops.adapters import store_adapter
from steelyard.trainers.loops.lessons import lessons
from steelyard.trainers.loops.libraries import peft
from steelyard.trainers.loops.method import Training
from steelyard.trainers.loops.options import ANSWERS, OTHER_KINDS, ValidatedOptions
from steelyard.trainers.loops.supervised import run, sft_trainer


class Ia3(ValidatedOptions):
    """Supervised fine-tuning of one scale for each channel of keys, values and feed-forward."""

    data_roles: ClassVar[tuple[str, ...]] = ANSWERS
    other_data_roles: ClassVar[tuple[tuple[str, ...], ...]] = OTHER_KINDS
    libraries: ClassVar[tuple[str, ...]] = ("trl:SFTTrainer", "peft")

    learning_rate: float = Field(3e-3, gt=0, le=1, description="Peak learning rate of AdamW.")
    target_modules: tuple[str, ...] | None = Field(
        None, description="Modules that are scaled; None is PEFT's choice for the architecture."
    )
    feedforward_modules: tuple[str, ...] | None = Field(
        None, description="Those of them whose input is scaled; None is PEFT's choice."
    )
    merge: bool = Field(
        False, description="Store merged full weights instead of an adapter beside the base."
    )

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.target_modules is None) != (self.feedforward_modules is None):
            raise ValueError("give target_modules and feedforward_modules together, or neither")
        if not set(self.feedforward_modules or ()) <= set(self.target_modules or ()):
            raise ValueError("feedforward_modules must be among target_modules")
        return self

    def train(self, job: TrainJob) -> Checkpoint:
        """Train as PEFT's quickstart does, under TRL. Raises ``TrainingError``, ``DataError``."""
        data = lessons(job, self)
        training.prepare(job)
        model, tokenizer = load_model(job.start, trainable=True)
        with quiet():
            trainer = sft_trainer(self, job, model, tokenizer, data, self._configuration())
            watch = run(trainer, job, data, self)
            over = Training(job, self, "ia3", watch, data.notes)
            return store_adapter(trainer.model, over, merge=self.merge)

    def _configuration(self) -> peft.IA3Config:
        targets, inputs = self.target_modules, self.feedforward_modules
        return peft.IA3Config(
            target_modules=None if targets is None else list(targets),
            feedforward_modules=None if inputs is None else list(inputs),
            task_type="CAUSAL_LM",
        )
