"""LoRA: low-rank updates beside frozen weights [Hu et al. 2021, arXiv 2106.09685]."""

from __future__ import annotations

from typing import ClassVar

from harness.protocols import TrainJob
from harness.records import Checkpoint
from trainers.options import LoraOptions


class Lora(LoraOptions):
    """Supervised fine-tuning of low-rank adapters on the completion's tokens."""

    data_roles: ClassVar[tuple[str, ...]] = ("prompt", "completion")
    libraries: ClassVar[tuple[str, ...]] = ("trl:SFTTrainer", "peft")

    def train(self, job: TrainJob) -> Checkpoint:
        """Train as PEFT's quickstart does, under TRL. Raises ``TrainingError``, ``DataError``."""
        from trl import SFTConfig, SFTTrainer

        from harness.checkpoints import load_model
        from harness.scoring.quiet import quiet
        from trainers import loop
        from trainers.adapters import finish_adapter, kept_start, lora_config

        rows, notes = loop.dataset(job, self.data_roles)
        loop.prepare(job)
        model, tokenizer = load_model(job.start, trainable=True)
        with quiet():
            trainer = SFTTrainer(
                model,
                args=SFTConfig(**loop.arguments(self, job), completion_only_loss=True),
                train_dataset=rows,
                processing_class=tokenizer,
                peft_config=lora_config(self),
            )
            started = kept_start(trainer.model, job, self)
            watch = loop.run(trainer, job, len(rows))
            return finish_adapter(trainer.model, job, self, "lora", watch, notes, started=started)
