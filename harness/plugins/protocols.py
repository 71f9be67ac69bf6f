"""The verbs. A plugin is one frozen, validated object: its fields are its options, its one verb
is its protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

from steelyard.harness.records import Checkpoint, Energy, Kind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Row = Sequence[float]


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


@runtime_checkable
class Trainer(Protocol):
    """Options in, checkpoint out; ``data_roles`` says which columns the method needs."""

    data_roles: ClassVar[tuple[str, ...]]
    """Roles that a data set must offer; () for methods without data.

    Where another kind of data will do as well, ``other_data_roles: ClassVar[tuple[tuple[str, ...],
    ...]]`` names its roles. ``source_options: ClassVar[tuple[str, ...]]`` lists the options that
    name other checkpoints, which then come as ``job.sources``. ``libraries: ClassVar[tuple[str,
    ...]]`` (``module`` or ``module:attribute``) are imported before its energy is measured, and
    ``make_ready() -> None``, where there is one, is called then. ``needs_data: bool`` says that an
    object's options need data although ``data_roles`` is ().
    """

    def train(self, job: TrainJob) -> Checkpoint:
        """Write a checkpoint that plain transformers or PEFT loads.

        Raises ``TrainingError`` (NaN loss, nothing to learn) or ``DataError``.
        """


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
