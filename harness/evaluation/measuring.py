"""A metric's verbs as they are used here: what goes wrong names the metric, the task and why.

A metric of another package that fails is an error of its task. No other number takes its place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from steelyard.harness.errors import MetricError, SteelyardError
from steelyard.harness.plugins import Metric, Row, Sample, is_built_in

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
from steelyard.harness.records import Rows


def row_of(metric: Metric, sample: Sample, responses: Sequence[object]) -> Row | None:
    """The sample's row, or None where the metric leaves it unscored.

    Raises:
        MetricError: the metric failed, or gave something that is no row of numbers.
    """
    try:
        row = metric.measure(sample, responses)
        if row is not None:
            _require_numbers(row)
    except MemoryError:  # says nothing of the sample
        raise
    except Exception as error:  # whatever another package raises
        if _names_itself(metric, error):
            raise
        problem = f"sample {sample.sample_id} cannot be measured"
        raise _metric_error(metric, sample.task, problem, error) from error
    return row


def _require_numbers(row: object) -> None:
    numbers = [] if isinstance(row, str) else [float(value) for value in row]  # type: ignore[attr-defined]
    if not numbers:
        raise TypeError(f"a row is one or more numbers, not {row!r}")


def row_or_none(metric: Metric, sample: Sample) -> Row | None:
    """The sample's row without the model's answers; None where the metric has none for it.

    For values of other tools, of which it is not known whether a metric of that name reads them.
    """
    try:
        return row_of(metric, sample, ())
    except MetricError:
        return None


def value_of(metric: Metric, rows: NDArray[np.float64], task: str) -> float:
    """The metric's value of (n, k) rows. Raises ``MetricError`` where it fails."""
    with naming(metric, task, "its rows give no value"):
        return float(metric.aggregate(rows))


@contextmanager
def naming(metric: Metric, task: str, problem: str) -> Iterator[None]:
    """Whatever fails within the block is a ``MetricError`` that names metric and task."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # whatever another package raises
        if _names_itself(metric, error):
            raise
        raise _metric_error(metric, task, problem, error) from error


def _names_itself(metric: Metric, error: Exception) -> bool:
    """One of our errors out of one of our metrics says what and where."""
    return isinstance(error, SteelyardError) and is_built_in(metric)


def _metric_error(metric: Metric, task: str, problem: str, error: Exception) -> MetricError:
    reason = (
        error.message if isinstance(error, SteelyardError) else f"{type(error).__name__}: {error}"
    )
    fix = error.fix if isinstance(error, SteelyardError) else None
    return MetricError(f"metric '{metric.name}': {problem}: {reason}", key=f"task {task}", fix=fix)


@dataclass(frozen=True)
class Measured:
    """One metric's rows of a task's samples, None where a sample has none, and their flags."""

    task: str
    metric: str
    samples: Sequence[Sample]
    rows: Sequence[Row | None]
    flags: Sequence[str]

    def as_rows(self, clusters: Sequence[str | None]) -> Rows:
        """The record: (samples, k) numbers, NaN where there is no row; a cluster a sample."""
        import numpy as np

        width = next((len(row) for row in self.rows if row is not None), 1)
        values = np.full((len(self.rows), width), np.nan)
        for place, row in enumerate(self.rows):
            if row is not None:
                values[place] = row
        return Rows(
            task=self.task,
            metric=self.metric,
            sample_ids=tuple(sample.sample_id for sample in self.samples),
            values=values,
            scored=np.array([row is not None for row in self.rows], dtype=np.bool_),
            flags=tuple(self.flags),
            clusters=tuple(clusters),
        )
