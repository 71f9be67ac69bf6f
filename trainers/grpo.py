"""GRPO: completions rewarded against others of the same prompt.

[Shao et al. 2024, arXiv 2402.03300]
"""

from __future__ import annotations

from typing import ClassVar

from steelyard.harness.plugins import TrainJob
from steelyard.harness.records import Checkpoint
from steelyard.trainers.loops.libraries import trl
from steelyard.trainers.loops.method import Method
from steelyard.trainers.loops.rollout_options import RolloutOptions
from steelyard.trainers.loops.rollouts import trained_on_rewards


class Grpo(RolloutOptions):
    """Reinforcement learning from rewards, relative to a group of completions."""

    libraries: ClassVar[tuple[str, ...]] = ("trl:GRPOTrainer",)

    def train(self, job: TrainJob) -> Checkpoint:
        """Train as TRL's GRPOTrainer does.

        Raises ``TrainingError``, ``DataError``, or ``ConfigError`` where a reward is not there.
        """
        return trained_on_rewards(self, job, Method("grpo", trl.GRPOTrainer, trl.GRPOConfig))
