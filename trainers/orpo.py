"""Odds-ratio preference optimisation, without a reference [Hong et al. 2024, arXiv 2403.07691]."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from steelyard.harness.plugins import TrainJob
from steelyard.harness.records import Checkpoint
from steelyard.trainers.loops.libraries import trl_orpo
from steelyard.trainers.loops.method import Method
from steelyard.trainers.loops.preferences import (
    PAIRS,
    WHOLE_TEXTS,
    PreferenceOptions,
    trained_without_reference,
)
from steelyard.trainers.loops.token_shares import orpo_trainer


class Orpo(PreferenceOptions):
    """Supervised loss on the chosen answer plus an odds-ratio penalty on the rejected one."""

    data_roles: ClassVar[tuple[str, ...]] = PAIRS
    other_data_roles: ClassVar[tuple[tuple[str, ...], ...]] = (WHOLE_TEXTS,)
    libraries: ClassVar[tuple[str, ...]] = ("trl.experimental.orpo:ORPOTrainer",)

    learning_rate: float = Field(8e-6, gt=0, le=1, description="Peak learning rate of AdamW.")
    beta: float = Field(0.1, gt=0, description="Weight of the odds-ratio term (lambda there).")

    def train(self, job: TrainJob) -> Checkpoint:
        """Train as TRL's ORPOTrainer does. Raises ``TrainingError`` or ``DataError``."""
        orpo = Method("orpo", orpo_trainer(), trl_orpo.ORPOConfig, {"beta": self.beta})
        return trained_without_reference(self, job, orpo)
