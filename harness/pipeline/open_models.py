"""Models that stay open between scorings, each with the journal of its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from steelyard.harness.evaluation import answers_key
from steelyard.harness.experiment import Experiment
from steelyard.harness.pipeline.events import Event, Listener
from steelyard.harness.records import Checkpoint
from steelyard.harness.scoring import Journal, Scorer, open_model
from steelyard.harness.store import FolderStore


@dataclass(frozen=True)
class OpenModels:
    """Opened models of one experiment's checkpoints."""

    experiment: Experiment
    store: FolderStore
    listener: Listener
    most: int = 2
    """How many stay in memory: a child and its parent."""
    _models: dict[tuple[str, str | None], Scorer] = field(default_factory=dict)
    """By checkpoint digest and dtype, the one that was asked for last at the end."""

    def opened(self, checkpoint: Checkpoint, dtype: str | None = None) -> Scorer:
        """The opened model; ``dtype`` where it is not the experiment's."""
        settings, digest = self.experiment.settings, checkpoint.manifest.digest
        key = (digest, dtype or settings.dtype)
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
            journal=self._journal(checkpoint),
        )
        return self._models[key]

    def scoring_record(self, checkpoint: Checkpoint) -> Mapping[str, object]:
        """What the scorer says of itself, after the fact: its way, and what happened on it."""
        lm = self._models.get((checkpoint.manifest.digest, self.experiment.settings.dtype))
        return {} if lm is None else lm.scoring_record()

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
