"""Direct preference optimisation [Rafailov et al. 2023, arXiv 2305.18290]."""

from __future__ import annotations

import copy
from typing import Any, ClassVar, Literal

from pydantic import Field

from steelyard.harness.plugins.protocols import TrainJob
from steelyard.harness.records import Checkpoint
from steelyard.trainers.loops.preferences import PAIRS, WHOLE_TEXTS, PreferenceOptions, pairs

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
        from trl import DPOConfig, DPOTrainer

        from steelyard.harness.checkpoints import load_model
        from steelyard.harness.environment import quiet
        from steelyard.trainers.loops import early_stop, training
        from steelyard.trainers.loops.preferences import finish_preferences, peft_config

        rows, notes = pairs(job)
        rows, held_out = early_stop.divided(rows, self.early_stop, job)
        training.prepare(job)
        model, tokenizer = load_model(job.start, trainable=True)
        reference: Any = None
        if self.rank is None:  # with an adapter, the model without it is the reference
            reference = copy.deepcopy(model).eval().requires_grad_(False)
        with quiet():
            trainer = DPOTrainer(
                model,
                ref_model=reference,
                args=DPOConfig(
                    **training.arguments(self, job),
                    beta=self.beta,
                    loss_type=[self.loss_type, "sft"] if self.sft_weight else [self.loss_type],
                    loss_weights=[1.0, self.sft_weight] if self.sft_weight else None,
                    label_smoothing=self.label_smoothing,
                ),
                train_dataset=rows,
                eval_dataset=held_out,
                processing_class=tokenizer,
                peft_config=peft_config(self),
            )
            watch = training.run(trainer, job, len(rows), early=self.early_stop)
            return finish_preferences(trainer.model, job, self, "dpo", watch, notes)
