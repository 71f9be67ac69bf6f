"""LoRA: low-rank updates beside frozen weights [Hu et al. 2021, arXiv 2106.09685]."""

from __future__ import annotations

from typing import ClassVar

from steelyard.harness.checkpoints import load_model
from steelyard.harness.environment import quiet
from steelyard.harness.plugins import TrainJob
from steelyard.harness.records import Checkpoint
from steelyard.trainers.loops import training
from steelyard.trainers.loops.adapters import lora_config, start_set_aside, store_adapter
from steelyard.trainers.loops.lessons import lessons
from steelyard.trainers.loops.method import Training
from steelyard.trainers.loops.options import ANSWERS, OTHER_KINDS, LoraOptions
from steelyard.trainers.loops.supervised import run, sft_trainer


class Lora(LoraOptions):
    """Supervised fine-tuning of low-rank adapters on the completion's tokens."""

    data_roles: ClassVar[tuple[str, ...]] = ANSWERS
    other_data_roles: ClassVar[tuple[tuple[str, ...], ...]] = OTHER_KINDS
    libraries: ClassVar[tuple[str, ...]] = ("trl:SFTTrainer", "peft")

    def train(self, job: TrainJob) -> Checkpoint:
        """Train as PEFT's quickstart does, under TRL. Raises ``TrainingError``, ``DataError``."""
        data = lessons(job, self)
        training.prepare(job)
        model, tokenizer = load_model(job.start, trainable=True)
        with quiet():
            trainer = sft_trainer(self, job, model, tokenizer, data, lora_config(self))
            started = start_set_aside(trainer.model, job, self)
            watch = run(trainer, job, data, self)
            over = Training(job, self, "lora", watch, data.notes)
            return store_adapter(trainer.model, over, merge=self.merge, started=started)
