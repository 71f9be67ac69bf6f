"""GRPO: completions rewarded against others of the same prompt.

[Shao et al. 2024, arXiv 2402.03300]
"""

from __future__ import annotations

from typing import ClassVar

from steelyard.harness.plugins.protocols import TrainJob
from steelyard.harness.records import Checkpoint
from steelyard.trainers.loops.rollout_options import RolloutOptions


class Grpo(RolloutOptions):
    """Reinforcement learning from rewards, relative to a group of completions."""

    libraries: ClassVar[tuple[str, ...]] = ("trl:GRPOTrainer",)

    def train(self, job: TrainJob) -> Checkpoint:
        """Train as TRL's GRPOTrainer does.

        Raises ``TrainingError``, ``DataError``, or ``ConfigError`` where a reward is not there.
        """
        from trl import GRPOConfig, GRPOTrainer

        from steelyard.harness.checkpoints import load_model
        from steelyard.harness.environment import quiet
        from steelyard.trainers.loops import rollouts, training
        from steelyard.trainers.loops.preferences import finish_preferences, peft_config
        from steelyard.trainers.loops.rewards import functions, tokenizers

        rewards = functions(self.rewards, job.sources)
        training.prepare(job)
        model, tokenizer = load_model(job.start, trainable=True)
        rows, notes = rollouts.prompts(job, self, tokenizer)
        bound = rollouts.KlBound(self)
        with quiet():
            with rollouts.reference_on_disk(model, job):
                trainer = GRPOTrainer(
                    model,
                    reward_funcs=rewards,
                    reward_processing_classes=tokenizers(self.rewards, job.sources),
                    args=GRPOConfig(**rollouts.arguments(self, job)),
                    train_dataset=rows,
                    processing_class=tokenizer,
                    peft_config=peft_config(self),
                    callbacks=[bound],
                )
            watch = training.run(trainer, job, len(rows))
            notes = [*notes, *bound.notes, *rollouts.nothing_to_tell_apart(watch)]
            return finish_preferences(trainer.model, job, self, "grpo", watch, notes)
