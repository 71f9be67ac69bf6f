"""Odds-ratio preference optimisation, without a reference [Hong et al. 2024, arXiv 2403.07691]."""

from __future__ import annotations

import copy
import os
from typing import ClassVar

from pydantic import Field

from harness.protocols import TrainJob
from harness.records import Checkpoint
from trainers.options import TrainingOptions


class Orpo(TrainingOptions):
    """Supervised loss on the chosen answer plus an odds-ratio penalty on the rejected one."""

    data_roles: ClassVar[tuple[str, ...]] = ("prompt", "chosen", "rejected")
    libraries: ClassVar[tuple[str, ...]] = ("trl.experimental.orpo:ORPOTrainer",)

    learning_rate: float = Field(8e-6, gt=0, le=1, description="Peak learning rate of AdamW.")
    beta: float = Field(0.1, gt=0, description="Weight of the odds-ratio term (lambda there).")

    def train(self, job: TrainJob) -> Checkpoint:
        """Train as TRL's ORPOTrainer does. Raises ``TrainingError`` or ``DataError``."""
        os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
        from trl.experimental.orpo import ORPOConfig, ORPOTrainer

        from harness.checkpoints import finish, load_model, save_full
        from harness.scoring.quiet import quiet
        from trainers import loop

        rows, notes = loop.dataset(job, self.data_roles)
        loop.prepare(job)
        model, tokenizer = load_model(job.start, trainable=True)
        # This trainer puts a BOS token in front of every row. Where the tokenizer itself puts none
        # there, no evaluation would, and the model would learn another beginning than it is asked.
        reading = copy.deepcopy(tokenizer)
        first = reading("a")["input_ids"][:1]
        if reading.bos_token_id is not None and first != [reading.bos_token_id]:
            reading.bos_token = None
        with quiet():
            trainer = ORPOTrainer(
                model,
                args=ORPOConfig(
                    **loop.arguments(self, job), beta=self.beta, remove_unused_columns=False
                ),
                train_dataset=rows,
                processing_class=reading,
            )
            trainer.train_dataset = trainer.train_dataset.filter(_has_answers)
            watch = loop.run(trainer, job, len(rows))
            save_full(model, job)
        return finish(
            job,
            trainer=self,
            name="orpo",
            format="full",
            steps=watch.steps,
            loss_curve=watch.curve,
            notes=(*notes, *loop.merged_note(job), *watch.notes),
            **loop.counts(model),
        )


def _has_answers(row: dict[str, list[int]]) -> bool:
    """Whether cutting to max_length left something of both answers."""
    return max(row["chosen_labels"]) >= 0 and max(row["rejected_labels"]) >= 0
