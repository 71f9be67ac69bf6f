"""As stages end: which run of each candidate is its current one, or why it has none."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from steelyard.harness.experiment import BASE
from steelyard.harness.pipeline.stage import Stage, StageOutcome
from steelyard.harness.pipeline.worker import Worker

if TYPE_CHECKING:
    from steelyard.harness.store import Attempt


@dataclass
class Settling:
    """Tells an attempt what the stages of each candidate came to."""

    attempt: Attempt
    worker: Worker
    scored: Collection[str]
    """Candidates that are scored here: their training alone settles nothing."""
    _checkpoints: dict[str, str] = field(default_factory=dict)
    """Digest of each candidate's present checkpoint."""
    _failed: set[str] = field(default_factory=set)

    def ended(self, stage: Stage, outcome: StageOutcome) -> None:
        """A stage has ended; its result is in the store."""
        name = stage.candidate
        if name in self._failed:
            return
        if outcome.status == "done":
            self._done(stage, outcome.reference)
        elif outcome.status == "failed" or outcome.failed or stage.kind == "train":
            self._failed.add(name)
            what = "training" if stage.kind == "train" else "scoring"
            message = outcome.message or ", ".join(outcome.failed)
            why = f"its {what} failed: {message}"
            self.attempt.failed(name, why, self._checkpoints.get(name))
        elif stage.kind == "score":  # a reward model, say: trained, and not to be scored
            self.attempt.trained(name, self._digest(name))

    def _done(self, stage: Stage, reference: str | None) -> None:
        name, store = stage.candidate, self.worker.store
        if stage.kind == "train":
            done = store.stages.get(f"train-{reference}") or {}
            self._checkpoints[name] = str(done.get("checkpoint", ""))
            if name not in self.scored:
                self.attempt.trained(name, self._checkpoints[name])
        elif stage.kind == "score" and reference is not None:
            self.attempt.scored(store.get(reference), name)

    def _digest(self, name: str) -> str:
        if name == BASE:
            return self.worker.checkpoints.base.manifest.digest
        return self._checkpoints.get(name, "")
