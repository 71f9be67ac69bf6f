"""Prefix tuning: learned keys and values before every layer's own.

[Li & Liang 2021, arXiv 2101.00190]
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from steelyard.harness.plugins import TrainJob
from steelyard.harness.records import Checkpoint
from steelyard.trainers.loops.libraries import peft, transformers
from steelyard.trainers.loops.options import ANSWERS, OTHER_KINDS, ValidatedOptions
from steelyard.trainers.loops.virtual_tokens import tuned


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
        return tuned(self, job, "prefix", self._configuration)

    def _configuration(self, model: transformers.PreTrainedModel) -> peft.PrefixTuningConfig:
        return peft.PrefixTuningConfig(
            num_virtual_tokens=self.virtual_tokens,
            prefix_projection=self.projection,
            encoder_hidden_size=model.config.get_text_config().hidden_size,
            task_type="CAUSAL_LM",
        )
