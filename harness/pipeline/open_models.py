"""Models that stay open between scorings, each with the journal of its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from steelyard.harness.evaluation import answers_key
from steelyard.harness.experiment import Experiment
from steelyard.harness.pipeline.events import Event, Listener
from steelyard.harness.records import Checkpoint, Parity
from steelyard.harness.scoring import Journal, Scorer, open_model
from steelyard.harness.store import FolderStore
from steelyard.harness.suites import Suite


@dataclass(frozen=True)
class OpenModels:
    """Opened models of one experiment's checkpoints."""

    experiment: Experiment
    store: FolderStore
    listener: Listener
    most: int = 2
    """How many stay in memory: a child and its parent."""
    _models: dict[tuple[str, str | None, Parity], Scorer] = field(default_factory=dict)
    """By checkpoint digest, dtype and parity, the one that was asked for last at the end."""

    def opened(self, checkpoint: Checkpoint, suite: Suite, dtype: str | None = None) -> Scorer:
        """The model opened to answer ``suite``; ``dtype`` where it is not the experiment's."""
        settings, digest = self.experiment.settings, checkpoint.manifest.digest
        key = (digest, dtype or settings.dtype, suite.parity)
        if key in self._models:
            self._models[key] = self._models.pop(key)
            return self._models[key]
        while len(self._models) >= self.most:
            self._models.pop(next(iter(self._models)))
        self._models[key] = open_model(
            checkpoint.weights_folder,
            adapter=checkpoint.adapter_folder,
            gguf_file=checkpoint.gguf_file,
            dtype=key[1],
            backend=settings.backend,
            parity=suite.parity,
            journal=self._journal(checkpoint),
        )
        return self._models[key]

    def scoring_record(self, checkpoint: Checkpoint) -> Mapping[str, object]:
        """What the scorer says of itself, after the fact: its way, and what happened on it."""
        opened_as = (checkpoint.manifest.digest, self.experiment.settings.dtype)
        models = [lm for key, lm in self._models.items() if key[:2] == opened_as]
        return models[-1].scoring_record() if models else {}

    def close(self) -> None:
        """Let go of every model."""
        self._models.clear()

    def _journal(self, checkpoint: Checkpoint) -> Journal:
        digest = checkpoint.manifest.digest
        journal = Journal(self.store.unfinished.journal(digest), answers_key(digest))
        if journal.dropped_bytes:
            lost = f"{journal.dropped_bytes} damaged bytes at the end of its journal are dropped"
            message = f"{lost}; what they held is scored again"
            self.listener(Event("score", checkpoint.manifest.candidate, "again", message))
        return journal
