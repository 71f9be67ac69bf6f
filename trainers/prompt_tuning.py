"""Prompt tuning: learned embeddings in front of every input.

[Lester et al. 2021, arXiv 2104.08691]
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from steelyard.harness.plugins.protocols import TrainJob
from steelyard.harness.records import Checkpoint
from steelyard.trainers.loops.options import ANSWERS, OTHER_KINDS, ValidatedOptions


class PromptTuning(ValidatedOptions):
    """Supervised tuning of virtual tokens in front of the prompt; no weight moves."""

    data_roles: ClassVar[tuple[str, ...]] = ANSWERS
    other_data_roles: ClassVar[tuple[tuple[str, ...], ...]] = OTHER_KINDS
    libraries: ClassVar[tuple[str, ...]] = ("trl:SFTTrainer", "peft")

    learning_rate: float = Field(1e-2, gt=0, le=1, description="Peak learning rate of AdamW.")
    virtual_tokens: int = Field(20, ge=1, description="Learned embeddings before each input.")
    init: Literal["vocabulary", "random"] = Field(
        "vocabulary", description="They start as embeddings of drawn tokens, or as noise."
    )

    def train(self, job: TrainJob) -> Checkpoint:
        """Train as PEFT's guide does, under TRL.

        Raises ``TrainingError``, ``DataError``, or ``CheckpointError`` where the parent is an
        adapter: virtual tokens cannot be merged.
        """
        from peft import PromptTuningConfig, PromptTuningInit

        from steelyard.harness.checkpoints import load_model
        from steelyard.harness.environment import quiet
        from steelyard.trainers.loops import training
        from steelyard.trainers.loops.adapters import finish_virtual_tokens, require_weights
        from steelyard.trainers.loops.lessons import lessons
        from steelyard.trainers.loops.supervised import run, sft_trainer

        require_weights(job, "prompt_tuning")
        data = lessons(job, self)
        training.prepare(job)
        model, tokenizer = load_model(job.start, trainable=True)
        drawn = self.init == "vocabulary"
        with quiet():
            trainer = sft_trainer(
                self,
                job,
                model,
                tokenizer,
                data,
                peft_config=PromptTuningConfig(
                    num_virtual_tokens=self.virtual_tokens,
                    prompt_tuning_init=PromptTuningInit.SAMPLE_VOCAB
                    if drawn
                    else PromptTuningInit.RANDOM,
                    task_type="CAUSAL_LM",
                ),
            )
            watch = run(trainer, job, data, self)
            return finish_virtual_tokens(
                trainer.model, job, self, "prompt_tuning", watch, data.notes
            )
