"""The nouns that reach disk, each a frozen and versioned record.

Units stand in names; missing is ``None``, never 0, NaN or -1. Nothing heavy is imported here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SCHEMA_VERSION = 1

Grade = Literal["measured", "estimated", "unavailable"]
Kind = Literal["accuracy", "bounded", "corpus", "perplexity", "calibration", "ratio"]
Tier = Literal["block", "warn", "report"]
RuleVerdict = Literal["pass", "fail", "inconclusive", "not_comparable"]
DeltaVerdict = Literal["better", "not_worse", "worse", "inconclusive"]


class Record(BaseModel):
    """A frozen value object; an unknown field is an error, so a typo never passes in silence."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null")


# --- energy ---------------------------------------------------------------------------------


class EnergyComponent(Record):
    """The energy of one part of the machine, and how it is known."""

    name: Literal["cpu", "gpu", "ram"]
    energy_kwh: float | None
    grade: Grade
    method: str
    """E.g. ``rapl``, ``cpu_load``, ``constant``, ``nvml counter``, ``20 W model``."""


class CarbonIntensity(Record):
    """Grams of CO2 equivalent per kWh of electricity, with its provenance."""

    g_per_kwh: float
    region: str
    source: str
    year: int | None = None


class Energy(Record):
    """What one phase of one candidate used."""

    phase: Literal["train", "score", "inherited"]
    seconds: float
    energy_kwh: float | None
    grade: Grade
    components: tuple[EnergyComponent, ...] = ()
    co2e_g: float | None = None
    intensity: CarbonIntensity | None = None
    pue: float = 1.0
    embodied_co2e_g: float | None = None
    """Manufacture's share for these seconds, by a stated assumption; never part of ``co2e_g``."""
    embodied_source: str | None = None
    meter: str = "none"
    note: str | None = None


class Environment(Record):
    """The machine and the library versions that a number was made with."""

    python: str
    platform: str
    cpu: str | None = None
    cores: int | None = None
    memory_bytes: int | None = None
    gpus: tuple[str, ...] = ()
    packages: Mapping[str, str] = Field(default_factory=dict)


# --- checkpoints ----------------------------------------------------------------------------


class Digests(Record):
    """What a checkpoint is: SHA-256 hex digests of content, never of a path."""

    weights: str
    """Of the full weights it runs on (for an adapter: of its base)."""
    adapter: str | None = None
    tokenizer: str
    chat_template: str | None = None


class LossPoint(Record):
    """One logged training step; ``loss`` is the mean since the last point."""

    step: int
    loss: float
    metrics: Mapping[str, float] = Field(default_factory=dict)


class CheckpointManifest(Record):
    """``manifest.json`` of a checkpoint folder: identity, lineage, recipe and cost."""

    schema_version: int = SCHEMA_VERSION
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


# --- scores ---------------------------------------------------------------------------------


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
    family: str = "quality"
    primary: bool = False
    chance: float | None = None
    majority: float | None = None
    unit: str | None = None
    signature: str | None = None
    """The metric's own signature, e.g. sacreBLEU's."""
    flags: Mapping[str, int] = Field(default_factory=dict)
    """Counted peculiarities, e.g. ``{"length limit": 3, "tied": 1}``."""
    note: str | None = None


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
    tokenizer: str
    dtype: str
    limit: int | None = None
    max_length: int | None = None
    decoding: str | None = None
    hardware: str | None = None
    """The device, where the numbers are times and energies; None: they do not depend on it."""
    backend: str = "steelyard"
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

    schema_version: int = SCHEMA_VERSION
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


# --- comparison -----------------------------------------------------------------------------


class Difference(Record):
    """One signature field in which two runs differ on a task."""

    task: str
    field: str
    baseline: str | None
    candidate: str | None
    voids: bool
    """Whether this difference makes the numbers not comparable."""


class Delta(Record):
    """The paired difference of one metric on one task; positive is better, whatever the metric."""

    task: str
    metric: str
    family: str
    kind: Kind
    primary: bool
    higher_is_better: bool
    baseline: float | None
    candidate: float | None
    delta: float | None = None
    low: float | None = None
    high: float | None = None
    """Two-sided 95% interval of ``delta``."""
    p_value: float | None = None
    p_adjusted: float | None = None
    verdict: DeltaVerdict | None = None
    mde: float | None = None
    """Minimum detectable effect at 80% power, in the unit of ``delta``."""
    n: int = 0
    method: str | None = None
    unit: str | None = None
    slice: str | None = None
    """``field=value`` where this is a slice of the task."""
    note: str | None = None


class Flip(Record):
    """A sample that went right -> wrong (``lost``) or wrong -> right (``gained``)."""

    task: str
    metric: str
    sample_id: str
    direction: Literal["lost", "gained"]
    prompt: str
    target: str
    baseline_response: str
    candidate_response: str
    slices: Mapping[str, str] = Field(default_factory=dict)
    flips_in_every_candidate: bool = False


class FlipCount(Record):
    """How many samples of a task flipped, and the forgetting rate P(wrong now | right before)."""

    task: str
    metric: str
    lost: int
    gained: int
    n: int
    right_before: int
    forgetting_rate: float | None


class BackwardTransfer(Record):
    """The mean change of accuracy over the retention tasks (Lopez-Paz and Ranzato 2017, BWT)."""

    value: float
    low: float | None = None
    high: float | None = None
    """A 95% interval that takes the tasks as independent of each other."""
    tasks: tuple[str, ...]


class Comparison(Record):
    """One candidate run against one baseline run."""

    baseline_id: str
    baseline: str
    candidate_id: str
    candidate: str
    comparable: bool
    problems: tuple[str, ...] = ()
    """Each a line that says why some number may not be compared (exit 3)."""
    differences: tuple[Difference, ...] = ()
    deltas: tuple[Delta, ...] = ()
    slices: tuple[Delta, ...] = ()
    flip_counts: tuple[FlipCount, ...] = ()
    flips: tuple[Flip, ...] = ()
    backward_transfer: BackwardTransfer | None = None
    """None where no 0/1 metric of a retention task could be compared."""
    claim: str = "these checkpoints on items like these; not the recipe (one seed)"


class RuleResult(Record):
    """One gate rule after it was held against one candidate."""

    rule: str
    """The rule in words, as in ``known: correct, margin 0.02``."""
    candidate: str
    tier: Tier
    verdict: RuleVerdict
    why: str
    task: str | None = None
    metric: str | None = None
    margin: float | None = None
    delta: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    mde: float | None = None
    n: int | None = None
    claim: Literal["benchmark", "population"] = "population"
    exit_code: int = 0
    """What this rule alone asks the gate to exit with; 0: it does not block."""


class Verdict(Record):
    """What the gate says of one candidate; ``exit_code`` as documented in
    ``steelyard.harness.errors``.
    """

    candidate: str
    baseline: str
    verdict: RuleVerdict
    exit_code: int
    rules: tuple[RuleResult, ...]
    summary: str
