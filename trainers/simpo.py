"""SimPO: length-normalised preference without a reference [Meng et al. 2024, arXiv 2405.14734]."""

from __future__ import annotations

import os
from typing import ClassVar

from pydantic import Field

from steelyard.harness.plugins.protocols import TrainJob
from steelyard.harness.records import Checkpoint
from steelyard.trainers.loops.preferences import PAIRS, WHOLE_TEXTS, PreferenceOptions, pairs


class Simpo(PreferenceOptions):
    """Mean log-likelihood of the chosen answer above the rejected one's, by a target margin."""

    data_roles: ClassVar[tuple[str, ...]] = PAIRS
    other_data_roles: ClassVar[tuple[tuple[str, ...], ...]] = (WHOLE_TEXTS,)
    libraries: ClassVar[tuple[str, ...]] = ("trl.experimental.cpo:CPOTrainer",)

    learning_rate: float = Field(1e-6, gt=0, le=1, description="Peak learning rate of AdamW.")
    beta: float = Field(2.0, gt=0, description="Scale of the difference of mean log-likelihoods.")
    gamma: float = Field(1.0, ge=0, description="Margin by which the chosen answer is to lead.")
    sft_weight: float = Field(
        0.0, ge=0, description="Weight of the chosen answer's own loss beside it (CPO-SimPO)."
    )

    def train(self, job: TrainJob) -> Checkpoint:
        """Train as TRL's CPOTrainer does with SimPO's loss.

        Raises ``TrainingError`` or ``DataError``.
        """
        os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
        from trl.experimental.cpo import CPOConfig, CPOTrainer

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
            trainer = CPOTrainer(
                model,
                args=CPOConfig(
                    **training.arguments(self, job),
                    loss_type="simpo",
                    beta=self.beta,
                    simpo_gamma=self.gamma,
                    cpo_alpha=self.sft_weight,
                    remove_unused_columns=False,
                ),
                train_dataset=rows,
                eval_dataset=held_out,
                processing_class=as_asked(tokenizer),
                peft_config=peft_config(self),
            )
            trainer.train_dataset = trainer.train_dataset.filter(has_answers)
            watch = training.run(trainer, job, len(rows), early=self.early_stop)
            return finish_preferences(trainer.model, job, self, "simpo", watch, notes)
