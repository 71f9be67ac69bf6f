"""Prompt tuning: learned embeddings in front of every input.

[Lester et al. 2021, arXiv 2104.08691]
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from steelyard.harness.plugins import TrainJob
from steelyard.harness.records import Checkpoint
from steelyard.trainers.loops.libraries import peft, transformers
from steelyard.trainers.loops.options import ANSWERS, OTHER_KINDS, ValidatedOptions
from steelyard.trainers.loops.virtual_tokens import tuned


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
        return tuned(self, job, "prompt_tuning", self._configuration)

    def _configuration(self, model: transformers.PreTrainedModel) -> peft.PromptTuningConfig:
        starts = peft.PromptTuningInit
        return peft.PromptTuningConfig(
            num_virtual_tokens=self.virtual_tokens,
            prompt_tuning_init=starts.SAMPLE_VOCAB if self.init == "vocabulary" else starts.RANDOM,
            task_type="CAUSAL_LM",
        )
