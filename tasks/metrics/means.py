"""Metrics of one number a document, averaged: lm-eval's ``mean`` over what a task returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from steelyard.harness.errors import MetricError
from steelyard.harness.plugins import Plugin, Sample
from steelyard.harness.records import Kind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Mean(Plugin):
    """Mean of a number that the task gives for each document; also a user's own metric.

    Rows are (value,).
    """

    kind: ClassVar[Kind] = "bounded"
    name: str = "mean"
    higher_is_better: bool = True
    per_token: bool = False
    """Whether the number is one a token, so that another tokenizer gives another unit."""

    def measure(self, sample: Sample, responses: Sequence[Any]) -> tuple[float] | None:
        """The document's number; None where the task gave none.

        Raises ``MetricError`` where it gave something that is not one number.
        """
        return one_number(self.name, sample)

    def aggregate(self, rows: NDArray[np.float64]) -> float:
        """(n, 1) -> mean."""
        return float(sum(rows[:, 0].tolist()) / len(rows))


class Share(Plugin):
    """Share of documents on which something is so: every row is (0,) or (1,)."""

    kind: ClassVar[Kind] = "accuracy"
    name: str
    higher_is_better: bool = True

    def measure(self, sample: Sample, responses: Sequence[Any]) -> tuple[float] | None:
        """0 or 1; None where the task gave nothing."""
        return one_number(self.name, sample)

    def aggregate(self, rows: NDArray[np.float64]) -> float:
        """(n, 1) -> share of ones."""
        return float(rows[:, 0].mean())


def one_number(name: str, sample: Sample) -> tuple[float] | None:
    """The number that the task gave under ``name``."""
    value = sample.values.get(name)
    if value is None:
        return None
    try:
        return (float(value),)
    except (TypeError, ValueError):
        raise MetricError(
            f"task '{sample.task}': metric '{name}' is not one number a document", value=value
        ) from None
