"""The verbs. A plugin is one frozen, validated object: its fields are its options, its one verb
is its protocol."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, runtime_checkable

from steelyard.harness.plugins.fields import ValidationTask
from steelyard.harness.plugins.plugin import Plugin
from steelyard.harness.records import Checkpoint, Energy, Kind

#: One sample's numbers, of which a metric's value is made.
Row = Sequence[float]

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class DataSource:
    """A data file of the experiment: JSONL, CSV or Parquet with its columns mapped to roles."""

    name: str
    path: Path
    columns: Mapping[str, str] = field(default_factory=dict)
    """Role -> column, e.g. ``{"prompt": "dialogue", "completion": "summary"}``."""
    weight: float = 1.0


#: Called with (done, total, message); total may be None. Draws a bar, or nothing.
Progress = Callable[[int, int | None, str], None]


def no_progress(done: int, total: int | None, message: str) -> None:
    """A progress that shows nothing."""


@dataclass(frozen=True)
class TrainJob:
    """Everything a trainer is given besides its own options."""

    candidate: str
    start: Checkpoint
    """The base, or the parent candidate's checkpoint."""
    data: tuple[DataSource, ...]
    seed: int
    folder: Path
    """An empty folder in which the trainer writes the checkpoint."""
    base_name: str = ""
    """The base as the experiment file names it."""
    base_digest: str | None = None
    sources: Mapping[str, Checkpoint] = field(default_factory=dict)
    """The checkpoints that the options in ``source_options`` name, by those names."""
    state_folder: Path | None = None
    """Private folder for saved training states, bound to this recipe; None: do not resume."""
    progress: Progress = no_progress


@dataclass(frozen=True)
class Schedule:
    """How long a training loop runs."""

    epochs: float
    steps: int | None
    """Optimizer steps; None: as many as the epochs take."""
    batch_size: int
    gradient_accumulation: int

    @property
    def rows_per_step(self) -> int:
        """Rows that one optimizer step sees."""
        return self.batch_size * self.gradient_accumulation

    def steps_over(self, rows: int) -> int:
        """Optimizer steps over so many rows, as transformers counts them."""
        if self.steps is not None:
            return self.steps
        batches = math.ceil(rows / self.batch_size)
        per_epoch = max(math.ceil(batches / self.gradient_accumulation), 1)
        return math.ceil(self.epochs * per_epoch)


class Trainer(Plugin):
    """Options in, checkpoint out. A trainer inherits from this and says what differs.

    Its fields are its options. What the harness asks besides has an answer here, so that a trainer
    of another package need only have ``train``.
    """

    data_roles: ClassVar[tuple[str, ...]] = ()
    """Columns that its data must offer; () for methods without data."""
    other_data_roles: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """Other sets of columns that will do as well."""
    source_options: ClassVar[tuple[str, ...]] = ()
    """Options that name other checkpoints, which then come as ``job.sources``."""
    libraries: ClassVar[tuple[str, ...]] = ()
    """``module`` or ``module:attribute``, imported before its energy is measured."""
    made_elsewhere: ClassVar[bool] = False
    """Whether it takes in what was trained elsewhere, so that no meter here saw its training."""

    def train(self, job: TrainJob) -> Checkpoint:
        """Write a checkpoint that plain transformers or PEFT loads.

        Raises ``TrainingError`` (NaN loss, nothing to learn) or ``DataError``.
        """
        raise NotImplementedError

    def make_ready(self) -> None:
        """Make, before its energy is measured, what it stands on besides its libraries."""

    def content_digest(self) -> object:
        """What the weights depend on besides options, data, seed and start, as JSON; or None."""
        return None

    def shortened(self, steps: int) -> Self:
        """The same recipe over so many steps, for a trial; without a training loop, itself."""
        return self

    @classmethod
    def data_choices(cls) -> tuple[tuple[str, ...], ...]:
        """The sets of columns that it takes, the usual one first.

        One that may do without data, but takes some, has no empty set here.
        """
        return tuple(filter(None, (cls.data_roles, *cls.other_data_roles))) or ((),)

    @property
    def inner(self) -> Trainer:
        """The trainer itself, out of what launches it."""
        return self

    @property
    def needs_data(self) -> bool:
        """Whether there is nothing to do without data."""
        return bool(self.data_roles)

    @property
    def schedule(self) -> Schedule | None:
        """How long its training loop runs; None: it has none."""
        return None

    @property
    def longest_row(self) -> int | None:
        """Tokens that a row may have; None: no row is too long, or none is read."""
        return None

    @property
    def cuts_answers(self) -> bool:
        """Whether a row that is too long loses the end of its answer."""
        return self.longest_row is not None

    @property
    def validation_tasks(self) -> tuple[ValidationTask, ...]:
        """The tasks by which it stops or chooses: scores on them are no evidence afterwards."""
        return ()


@dataclass(frozen=True)
class Sample:
    """One scored document as lm-eval hands it over."""

    task: str
    sample_id: str
    document: Mapping[str, Any]
    prompt: str
    target: str
    values: Mapping[str, Any]
    """lm-eval's per-document output, by metric name."""


@runtime_checkable
class Metric(Protocol):
    """Turns a sample into a row of k numbers, and rows into a value."""

    name: str
    kind: ClassVar[Kind]
    higher_is_better: bool

    def measure(self, sample: Sample, responses: Sequence[Any]) -> Row | None:
        """The sample's row; None is "unscored", and counted."""

    def aggregate(self, rows: NDArray[np.float64]) -> float:
        """(n, k) -> score; near-linear in n."""


@runtime_checkable
class Reading(Protocol):
    """What a window measured; readable after exit."""

    def energy(self, phase: str) -> Energy:
        """The window's energy as a record; ``unavailable`` where there was no meter."""


@runtime_checkable
class Meter(Protocol):
    """Measures energy of windows of time on this node; one a process."""

    def window(self, name: str) -> AbstractContextManager[Reading]:
        """Measure the block; windows do not nest."""

    def close(self) -> None:
        """Stop the meter; safe to call twice."""
