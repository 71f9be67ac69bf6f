"""A scoring as a run: the record of one candidate, or of the baseline under other settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from steelyard.harness.environment import environment
from steelyard.harness.evaluation import Evaluation
from steelyard.harness.records import Checkpoint, Energy, Run


def now() -> str:
    """The moment, ISO 8601 in UTC to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Scoring:
    """What came of scoring one checkpoint."""

    experiment: str
    candidate: str
    suite: str
    checkpoint: Checkpoint
    evaluation: Evaluation
    energy: tuple[Energy, ...]
    scorer: Mapping[str, object] = field(default_factory=dict)
    """What the scorer says of itself."""
    moment: str = field(default_factory=now)

    @property
    def complete(self) -> bool:
        """Whether every task was scored."""
        return not self.evaluation.failures

    def run(self, id: str) -> Run:
        """The record, under ``id``."""
        return Run(
            id=id,
            experiment=self.experiment,
            candidate=self.candidate,
            suite=self.suite,
            checkpoint=self.checkpoint.manifest,
            scores=self.evaluation.scores,
            signatures=self.evaluation.signatures,
            energy=self.energy,
            environment=environment(),
            complete=self.complete,
            failures=self.evaluation.failures,
            scoring=dict(self.scorer),
            created_at=self.moment,
        )
