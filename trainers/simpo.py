"""SimPO: length-normalised preference without a reference [Meng et al. 2024, arXiv 2405.14734]."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from steelyard.harness.plugins import TrainJob
from steelyard.harness.records import Checkpoint
from steelyard.trainers.loops.libraries import trl_cpo
from steelyard.trainers.loops.method import Method
from steelyard.trainers.loops.preferences import (
    PAIRS,
    WHOLE_TEXTS,
    PreferenceOptions,
    trained_without_reference,
)


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
        own = {
            "loss_type": "simpo",
            "beta": self.beta,
            "simpo_gamma": self.gamma,
            "cpo_alpha": self.sft_weight,
        }
        simpo = Method("simpo", trl_cpo.CPOTrainer, trl_cpo.CPOConfig, own)
        return trained_without_reference(self, job, simpo)
