"""Metrics of one number a document, averaged: lm-eval's ``mean`` over what a task returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import PrivateAttr

from steelyard.harness.errors import MetricError
from steelyard.harness.plugins import Plugin, Sample, Signed, TaskTexts
from steelyard.harness.records import Kind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class OwnNumber(Plugin):
    """A number that the task gives for each document (abstract)."""

    kind: ClassVar[Kind] = "bounded"
    name: str
    higher_is_better: bool = True
    _names_rules: bool = PrivateAttr(default=False)

    def for_task(self, texts: TaskTexts) -> Self:
        """The same; of a task whose right answers are not all ASCII its score names its rules.

        On ASCII the rules are SQuAD's and lm-eval's, which went without a name.
        """
        fitted = self.model_copy()
        fitted._names_rules = not texts.ascii_only
        return fitted

    def measure(self, sample: Sample, responses: Sequence[Any]) -> tuple[float] | None:
        """The document's number; None where the task gave none.

        Raises ``MetricError`` where it gave something that is not one number.
        """
        return one_number(self.name, sample)

    def signature(self, samples: Sequence[Sample]) -> str | None:
        """The rules by which the task says that its numbers were made, where it says so."""
        values = (sample.values.get(self.name) for sample in samples)
        for value in values if self._names_rules else ():
            if isinstance(value, Signed):
                return value.rules
            if isinstance(value, (tuple, list)):
                return self._own_rules()
        return None

    def _own_rules(self) -> str | None:
        """The rules by which this metric measures a pair of texts itself."""
        return None


class Mean(OwnNumber):
    """Mean of a number that the task gives for each document; also a user's own metric.

    Rows are (value,).
    """

    name: str = "mean"
    per_token: bool = False
    """Whether the number is one a token, so that another tokenizer gives another unit."""

    def aggregate(self, rows: NDArray[np.float64]) -> float:
        """(n, 1) -> mean."""
        return float(sum(rows[:, 0].tolist()) / len(rows))


class Share(OwnNumber):
    """Share of documents on which something is so: every row is (0,) or (1,)."""

    kind: ClassVar[Kind] = "accuracy"

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
