"""What a checkpoint is: digests of its content, its lineage, recipe and cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from steelyard.harness.records.energy import Energy
from steelyard.harness.records.record import Record
from steelyard.harness.records.words import SCHEMA_VERSION

#: How often a coin prefers the better of two answers.
CHANCE_OF_TWO = 0.5


class Digests(Record):
    """What a checkpoint is: SHA-256 hex digests of content, never of a path."""

    weights: str
    """Of the full weights it runs on (for an adapter: of its base)."""
    adapter: str | None = None
    tokenizer: str
    chat_template: str | None = None
    generation: str | None = None
    """Of the generation settings beside the weights; None: there are none, or an earlier version
    wrote this."""


class LossPoint(Record):
    """One logged training step; ``loss`` is the mean since the last point."""

    step: int
    loss: float
    metrics: Mapping[str, float] = Field(default_factory=dict)


class HeldOutAccuracy(Record):
    """How often a reward model prefers the chosen answer, on pairs that it was not trained on."""

    value: float
    """Share of pairs; a tie is not right. Chance is .5."""
    low: float | None
    high: float | None
    """Two-sided 95% interval, pairs of one prompt taken together; None: too few to have one."""
    n: int
    ties: int = 0

    @property
    def shows_nothing(self) -> bool:
        """Whether a coin may be as good: its interval reaches down to chance, or it has none."""
        return self.low is None or self.low <= CHANCE_OF_TWO

    def in_words(self) -> str:
        """``right on 78.0% of 120 held-out pairs (69.8% to 84.5%)``."""
        interval = "too few for an interval"
        if self.low is not None and self.high is not None:
            interval = f"{self.low:.1%} to {self.high:.1%}"
        ties = f", {self.ties} ties" if self.ties else ""
        return f"right on {self.value:.1%} of {self.n} held-out pairs ({interval}{ties})"


class CheckpointManifest(Record):
    """``manifest.json`` of a checkpoint folder: identity, lineage, recipe and cost."""

    schema_version: Literal[2] = SCHEMA_VERSION
    digest: str
    """Of ``digests``; the checkpoint's one name."""
    digests: Digests
    format: Literal["full", "adapter", "quantised", "gguf"]
    candidate: str
    base: str
    """As the experiment file names it (hub id, folder name or ``microworld``)."""
    base_digest: str | None = None
    parent: str | None = None
    """Digest of the checkpoint that training started from."""
    trainer: str
    recipe: Mapping[str, Any] = Field(default_factory=dict)
    recipe_digest: str | None = None
    data_digests: Mapping[str, str] = Field(default_factory=dict)
    seed: int | None = None
    steps: int | None = None
    loss_curve: tuple[LossPoint, ...] = ()
    parameters: int | None = None
    parameters_trained: int | None = None
    size_bytes: int | None
    """On disk; None where the weights were never seen here (an imported run)."""
    peak_memory_bytes: int | None = None
    dtype: str = "float32"
    energy: Energy | None = None
    versions: Mapping[str, str] = Field(default_factory=dict)
    copy_of: str | None = None
    """The candidate in the experiment file of which this is one seed's copy; None: no copy."""
    copies: Mapping[str, str] = Field(default_factory=dict)
    """The same of the candidates that ``recipe`` names: a copy's name -> its name in the file."""
    held_out_accuracy: HeldOutAccuracy | None = None
    """Of a reward model; None: not measured, or no reward model."""
    reward_models: Mapping[str, HeldOutAccuracy | None] = Field(default_factory=dict)
    """The reward models that it was trained by, and how good each is as far as is known."""
    checks: Mapping[str, str] = Field(default_factory=dict)
    """What was checked after training, e.g. ``{"adapter applied": "logits differ by 1.2"}``."""
    notes: tuple[str, ...] = ()
    created_at: str
    """UTC, ISO 8601."""


@dataclass(frozen=True)
class Checkpoint:
    """An opened checkpoint: where it lies, and what it is.

    ``weights_folder`` holds full weights that ``AutoModelForCausalLM.from_pretrained`` loads;
    ``adapter_folder`` is a PEFT adapter on top of it, or None. ``gguf_file`` is the name of a GGUF
    file in ``weights_folder`` where the weights are one.
    """

    folder: Path
    manifest: CheckpointManifest
    weights_folder: Path
    adapter_folder: Path | None = None
    gguf_file: str | None = None
