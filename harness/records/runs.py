"""What scoring gives: rows and samples, scores, signatures, and the run that holds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from steelyard.harness.records.checkpoints import CheckpointManifest
from steelyard.harness.records.energy import Energy, Environment
from steelyard.harness.records.record import Record
from steelyard.harness.records.words import (
    QUALITY,
    SCHEMA_VERSION,
    Flag,
    Kind,
    Parity,
    Scale,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Score(Record):
    """One metric of one task for one checkpoint, with its interval over samples."""

    task: str
    metric: str
    value: float | None
    low: float | None = None
    high: float | None = None
    confidence: float = 0.95
    n: int
    """Samples that carry a row."""
    unscored: int = 0
    """Samples without a row (``None`` from the metric), counted and never zero."""
    kind: Kind
    higher_is_better: bool
    family: str = QUALITY
    primary: bool = False
    chance: float | None = None
    majority: float | None = None
    unit: str | None = None
    signature: str | None = None
    """The metric's own signature, e.g. sacreBLEU's."""
    scale: Scale | None = None
    """The logarithm that differences are taken in: ``nats`` of a perplexity, ``bits`` of bits per
    byte. None: differences are those of the value itself."""
    method: str | None = None
    """Which of its kind's estimates the value is: ``ece``, ``aurc`` or ``brier`` of calibration."""
    per_token: bool = False
    """Whether it counts the model's own tokens, so that another tokenizer gives another unit."""
    advisory: bool = False
    """Shown, never to be gated on; ``note`` says why."""
    flags: Mapping[Flag, int] = Field(default_factory=dict)
    """Counted peculiarities, e.g. ``{"length limit": 3, "tied": 1}``."""
    parts: Mapping[str, str] = Field(default_factory=dict)
    """Task -> metric that a group's score is made of: its rows are theirs. Empty: a task's own."""
    alike: bool = False
    """Whether the parts of a group count alike; else each by its samples."""
    note: str | None = None
    """For people; no decision hangs on its words."""


class TaskSignature(Record):
    """What must match for two numbers of one task to be comparable."""

    task: str
    task_digest: str
    """Of the task's configuration, its Python included."""
    data_digest: str
    """Of the documents, in no particular order."""
    few_shot: int
    few_shot_seed: int | None = None
    template: str | None = None
    """Digest of the chat template where one is applied."""
    chat_time: str | None = None
    """What the template was told is the time, ISO 8601; None: it asks for none."""
    tokenizer: str
    dtype: str
    limit: int | None = None
    max_length: int | None = None
    decoding: str | None = None
    generation_defaults: str | None = None
    """JSON of what the model's folder says of generation where the task says nothing; None: the
    task generates nothing, or it is not known."""
    reference: str | None = None
    """Digest of the model that a divergence was measured from; None: nothing of the kind."""
    hardware: str | None = None
    """The device, where the numbers are times and energies; None: they do not depend on it."""
    backend: str = "steelyard"
    parity: Parity | None = "lm-eval"
    """Whose rule for special tokens made the numbers; None where the rules come to the same tokens.
    Runs of before this field stood under lm-eval's."""
    same_as: str | None = None
    """Digest of what a run made here and one imported from lm-eval have in common where both asked
    the same: the task's configuration as lm-eval dumps it, and its documents."""
    versions: Mapping[str, str] = Field(default_factory=dict)


class Contaminated(Record):
    """How much of one task stands in the training data of a checkpoint or of its parents."""

    task: str
    items: int
    contaminated: int
    data: tuple[str, ...]
    """The data sets that hold some of them, as the experiment file names them."""
    metric: str | None = None
    """The task's primary metric, on the two parts:"""
    clean: float | None = None
    within: float | None = None


class Failure(Record):
    """A stage that failed; the rest of the experiment goes on."""

    stage: str
    message: str


class Run(Record):
    """One checkpoint scored on one suite: the unit that is stored, compared and ranked."""

    schema_version: Literal[2] = SCHEMA_VERSION
    id: str
    """Hex digest of what the run is (checkpoint, suite, signatures)."""
    experiment: str
    candidate: str
    suite: str
    checkpoint: CheckpointManifest
    scores: tuple[Score, ...]
    signatures: tuple[TaskSignature, ...]
    energy: tuple[Energy, ...] = ()
    environment: Environment
    contamination: tuple[Contaminated, ...] = ()
    """Tasks of which at least one item is in the training data, its parents' included."""
    complete: bool = True
    failures: tuple[Failure, ...] = ()
    scoring: Mapping[str, Any] = Field(default_factory=dict)
    """How the model was run: backend, way and why, token budget, what happened. JSON."""
    imported_from: str | None = None
    created_at: str

    @property
    def made(self) -> float:
        """``created_at`` in seconds since 1970, by which runs are ordered: as text, 10:00+02:00
        would come after 09:00+00:00. A time without a zone counts as UTC on every machine; what is
        no time counts as the oldest.
        """
        try:
            when = datetime.fromisoformat(self.created_at)
        except ValueError:
            return 0.0
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()

    def has_weights_of(self, other: Run) -> bool:
        """Whether both are known to be of one checkpoint.

        An import never saw the weights: its digest is that of a file of results, and two models may
        give two files of equal results.
        """
        seen = self.imported_from is None and other.imported_from is None
        return seen and self.checkpoint.digest == other.checkpoint.digest

    def score(self, task: str, metric: str) -> Score | None:
        """The score of ``metric`` on ``task``, or None where there is none."""
        return next((s for s in self.scores if (s.task, s.metric) == (task, metric)), None)

    def signature(self, task: str) -> TaskSignature | None:
        """The signature under which ``task`` was scored."""
        return next((s for s in self.signatures if s.task == task), None)


@dataclass(frozen=True)
class Rows:
    """The rows of one metric on one task, in the order in which they were scored.

    ``values`` has shape (n, k) in float64; the k numbers mean what the metric says they mean.
    A sample with ``scored[i] == False`` has a row of NaN that no statistic ever reads.
    """

    task: str
    metric: str
    sample_ids: tuple[str, ...]
    values: NDArray[np.float64]
    scored: NDArray[np.bool_]
    flags: tuple[str, ...]
    """A sample's flags as one text: see ``flags_text`` and ``flags_in``."""
    clusters: tuple[str | None, ...]


class SampleRecord(Record):
    """What was asked and what came back, kept for flips, slices and re-scoring."""

    task: str
    sample_id: str
    """Digest of document, prompt and target: samples pair by content, never by index."""
    prompt: str
    target: str
    responses: tuple[str, ...]
    document: Mapping[str, Any] = Field(default_factory=dict)
    slices: Mapping[str, str] = Field(default_factory=dict)
    cluster: str | None = None
    twin_id: str | None = None
    """The sample's id where lm-eval's hashes name it; of a sample imported from lm-eval, where its
    content does. By it a run made here and an imported one pair."""
