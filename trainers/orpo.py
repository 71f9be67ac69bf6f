"""Odds-ratio preference optimisation, without a reference [Hong et al. 2024, arXiv 2403.07691]."""

from __future__ import annotations

import os
from typing import ClassVar

from pydantic import Field

from steelyard.harness.plugins.protocols import TrainJob
from steelyard.harness.records import Checkpoint
from steelyard.trainers.loops.preferences import PAIRS, WHOLE_TEXTS, PreferenceOptions, pairs


class Orpo(PreferenceOptions):
    """Supervised loss on the chosen answer plus an odds-ratio penalty on the rejected one."""

    data_roles: ClassVar[tuple[str, ...]] = PAIRS
    other_data_roles: ClassVar[tuple[tuple[str, ...], ...]] = (WHOLE_TEXTS,)
    libraries: ClassVar[tuple[str, ...]] = ("trl.experimental.orpo:ORPOTrainer",)

    learning_rate: float = Field(8e-6, gt=0, le=1, description="Peak learning rate of AdamW.")
    beta: float = Field(0.1, gt=0, description="Weight of the odds-ratio term (lambda there).")

    def train(self, job: TrainJob) -> Checkpoint:
        """Train as TRL's ORPOTrainer does. Raises ``TrainingError`` or ``DataError``."""
        os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
        from trl.experimental.orpo import ORPOConfig, ORPOTrainer

        from steelyard.harness.checkpoints import load_model
        from steelyard.harness.environment import quiet
        from steelyard.trainers.loops import early_stop, training
        from steelyard.trainers.loops.preferences import (
            as_asked,
            finish_preferences,
            has_answers,
            peft_config,
        )

        rows, notes = pairs(job)
        rows, held_out = early_stop.divided(rows, self.early_stop, job)
        training.prepare(job)
        model, tokenizer = load_model(job.start, trainable=True)
        with quiet():
            trainer = ORPOTrainer(
                model,
                args=ORPOConfig(
                    **training.arguments(self, job), beta=self.beta, remove_unused_columns=False
                ),
                train_dataset=rows,
                eval_dataset=held_out,
                processing_class=as_asked(tokenizer),
                peft_config=peft_config(self),
            )
            trainer.train_dataset = trainer.train_dataset.filter(has_answers)
            watch = training.run(trainer, job, len(rows), early=self.early_stop)
            return finish_preferences(trainer.model, job, self, "orpo", watch, notes)
