"""RLOO: REINFORCE with the other completions as baseline.

[Ahmadian et al. 2024, arXiv 2402.14740]
"""

from __future__ import annotations

from typing import ClassVar

from steelyard.harness.plugins import TrainJob
from steelyard.harness.records import Checkpoint
from steelyard.trainers.loops.libraries import trl
from steelyard.trainers.loops.method import Method
from steelyard.trainers.loops.rollout_options import RolloutOptions
from steelyard.trainers.loops.rollouts import trained_on_rewards


class Rloo(RolloutOptions):
    """Reinforcement learning from rewards, each against the mean of the others."""

    libraries: ClassVar[tuple[str, ...]] = ("trl:RLOOTrainer",)

    def train(self, job: TrainJob) -> Checkpoint:
        """Train as TRL's RLOOTrainer does.

        Raises ``TrainingError``, ``DataError``, or ``ConfigError`` where a reward is not there.
        """
        return trained_on_rewards(self, job, Method("rloo", trl.RLOOTrainer, trl.RLOOConfig))
