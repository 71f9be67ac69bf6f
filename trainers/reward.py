"""A reward model: one number for a text, trained from preferences [Bradley & Terry 1952].

The loss is ``-log sigmoid(r(chosen) - r(rejected))`` [Ouyang et al. 2022, arXiv 2203.02155]. The
checkpoint gives no text and is not scored on a suite; ``grpo`` and ``rloo`` take it as a reward.
"""

from __future__ import annotations

import shutil
from typing import ClassVar

from pydantic import Field

from steelyard.harness.checkpoints import load_model
from steelyard.harness.environment import quiet
from steelyard.harness.plugins import TrainJob
from steelyard.harness.records import Checkpoint
from steelyard.trainers.loops import training
from steelyard.trainers.loops.libraries import torch, transformers, trl
from steelyard.trainers.loops.method import Training, store_full
from steelyard.trainers.loops.options import TrainingOptions
from steelyard.trainers.loops.preferences import PAIRS, WHOLE_TEXTS, pairs


class RewardModel(TrainingOptions):
    """Train a model that tells good answers from bad; for grpo and rloo, not for a suite."""

    data_roles: ClassVar[tuple[str, ...]] = PAIRS
    other_data_roles: ClassVar[tuple[tuple[str, ...], ...]] = (WHOLE_TEXTS,)
    libraries: ClassVar[tuple[str, ...]] = ("trl:RewardTrainer",)

    learning_rate: float = Field(1e-5, gt=0, le=1, description="Peak learning rate of AdamW.")
    center: float | None = Field(
        None, ge=0, description="Weight that draws the mean of the rewards to 0; None: none."
    )

    def train(self, job: TrainJob) -> Checkpoint:
        """Train as TRL's RewardTrainer does. Raises ``TrainingError`` or ``DataError``."""
        rows, notes = pairs(job)
        training.prepare(job)
        with quiet():
            model, tokenizer = _with_a_score(job)
            rows = training.begun_once(rows, tokenizer)
            trainer = trl.RewardTrainer(
                model,
                args=trl.RewardConfig(
                    **training.arguments(self, job), center_rewards_coefficient=self.center
                ),
                train_dataset=rows,
                processing_class=tokenizer,
            )
            watch = training.run(
                trainer, job, len(rows), dropped="an answer with its prompt exceeds"
            )
            return store_full(model, Training(job, self, "reward", watch, notes))


def _with_a_score(
    job: TrainJob,
) -> tuple[transformers.PreTrainedModel, transformers.PreTrainedTokenizerBase]:
    """The start with a new, seeded head of one number in place of its vocabulary."""
    whole = job.folder / "whole"
    full, tokenizer = load_model(job.start)
    full.config.pad_token_id = tokenizer.pad_token_id
    full.save_pretrained(whole)
    try:
        model = transformers.AutoModelForSequenceClassification.from_pretrained(
            whole, num_labels=1, dtype=torch.float32, local_files_only=True
        )
    finally:
        shutil.rmtree(whole)
    return model.to(full.device).train(), tokenizer
