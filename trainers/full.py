"""Full supervised fine-tuning: every weight moves."""

from __future__ import annotations

from typing import ClassVar

from harness.protocols import TrainJob
from harness.records import Checkpoint
from trainers.options import TrainingOptions


class Full(TrainingOptions):
    """Supervised fine-tuning of all weights on the completion's tokens."""

    data_roles: ClassVar[tuple[str, ...]] = ("prompt", "completion")
    libraries: ClassVar[tuple[str, ...]] = ("trl:SFTTrainer",)

    def train(self, job: TrainJob) -> Checkpoint:
        """Train as TRL's SFTTrainer does. Raises ``TrainingError`` or ``DataError``."""
        from trl import SFTConfig, SFTTrainer

        from harness.checkpoints import finish, load_model, save_full
        from harness.scoring.quiet import quiet
        from trainers import loop

        rows, notes = loop.dataset(job, self.data_roles)
        loop.prepare(job)
        model, tokenizer = load_model(job.start, trainable=True)
        with quiet():
            trainer = SFTTrainer(
                model,
                args=SFTConfig(**loop.arguments(self, job), completion_only_loss=True),
                train_dataset=rows,
                processing_class=tokenizer,
            )
            watch = loop.run(trainer, job, len(rows))
            save_full(model, job)
        return finish(
            job,
            trainer=self,
            name="full",
            format="full",
            steps=watch.steps,
            loss_curve=watch.curve,
            notes=(*notes, *loop.merged_note(job), *watch.notes),
            **loop.counts(model),
        )
