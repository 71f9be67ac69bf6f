"""Prefix tuning: learned keys and values before every layer's own.

[Li & Liang 2021, arXiv 2101.00190]
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from steelyard.harness.plugins.protocols import TrainJob
from steelyard.harness.records import Checkpoint
from steelyard.trainers.loops.options import ANSWERS, OTHER_KINDS, ValidatedOptions


class Prefix(ValidatedOptions):
    """Supervised tuning of keys and values that every layer sees first; no weight moves."""

    data_roles: ClassVar[tuple[str, ...]] = ANSWERS
    other_data_roles: ClassVar[tuple[tuple[str, ...], ...]] = OTHER_KINDS
    libraries: ClassVar[tuple[str, ...]] = ("trl:SFTTrainer", "peft")

    learning_rate: float = Field(1e-2, gt=0, le=1, description="Peak learning rate of AdamW.")
    virtual_tokens: int = Field(20, ge=1, description="Learned positions before each input.")
    projection: bool = Field(
        False, description="Train them through a small network, as the paper does."
    )

    def train(self, job: TrainJob) -> Checkpoint:
        """Train as PEFT's guide does, under TRL.

        Raises ``TrainingError``, ``DataError``, or ``CheckpointError`` where the parent is an
        adapter: virtual tokens cannot be merged.
        """
        from peft import PrefixTuningConfig

        from steelyard.harness.checkpoints import load_model
        from steelyard.harness.environment import quiet
        from steelyard.trainers.loops import training
        from steelyard.trainers.loops.adapters import finish_virtual_tokens, require_weights
        from steelyard.trainers.loops.lessons import lessons
        from steelyard.trainers.loops.supervised import run, sft_trainer

        require_weights(job, "prefix")
        data = lessons(job, self)
        training.prepare(job)
        model, tokenizer = load_model(job.start, trainable=True)
        with quiet():
            trainer = sft_trainer(
                self,
                job,
                model,
                tokenizer,
                data,
                peft_config=PrefixTuningConfig(
                    num_virtual_tokens=self.virtual_tokens,
                    prefix_projection=self.projection,
                    encoder_hidden_size=model.config.get_text_config().hidden_size,
                    task_type="CAUSAL_LM",
                ),
            )
            watch = run(trainer, job, data, self)
            return finish_virtual_tokens(trainer.model, job, self, "prefix", watch, data.notes)
