"""Direct preference optimisation [Rafailov et al. 2023, arXiv 2305.18290]."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from steelyard.harness.plugins import TrainJob
from steelyard.harness.records import Checkpoint
from steelyard.trainers.loops.libraries import trl
from steelyard.trainers.loops.method import Method
from steelyard.trainers.loops.preferences import (
    PAIRS,
    WHOLE_TEXTS,
    PreferenceOptions,
    pairs,
    trained_beside_reference,
)
from steelyard.trainers.loops.token_shares import dpo_trainer

LossType = Literal[
    "sigmoid", "sigmoid_norm", "hinge", "ipo", "exo_pair", "robust", "nca_pair", "sppo_hard",
    "aot", "apo_zero", "apo_down", "discopop",
]  # fmt: skip


class Dpo(PreferenceOptions):
    """Preference tuning against the start as frozen reference."""

    data_roles: ClassVar[tuple[str, ...]] = PAIRS
    other_data_roles: ClassVar[tuple[tuple[str, ...], ...]] = (WHOLE_TEXTS,)
    libraries: ClassVar[tuple[str, ...]] = ("trl:DPOTrainer",)

    learning_rate: float = Field(1e-6, gt=0, le=1, description="Peak learning rate of AdamW.")
    beta: float = Field(0.1, gt=0, description="How strongly the reference holds the model back.")
    loss_type: LossType = Field("sigmoid", description="TRL's name of the preference loss.")
    sft_weight: float = Field(
        0.0, ge=0, description="Weight of the chosen answer's own loss beside the preference loss."
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=0.5, description="Share of preferences taken to be wrong (robust, exo_pair)."
    )

    def train(self, job: TrainJob) -> Checkpoint:
        """Train as TRL's DPOTrainer does. Raises ``TrainingError`` or ``DataError``."""
        own = {
            "beta": self.beta,
            "loss_type": [self.loss_type, "sft"] if self.sft_weight else [self.loss_type],
            "loss_weights": [1.0, self.sft_weight] if self.sft_weight else None,
            "label_smoothing": self.label_smoothing,
        }
        dpo = Method("dpo", dpo_trainer(), trl.DPOConfig, own)
        return trained_beside_reference(self, job, dpo, *pairs(job))
