"""Perplexity and its kin: rows are (log-likelihood in nats, length in units)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from steelyard.harness.errors import MetricError
from steelyard.harness.plugins import Plugin, Sample
from steelyard.harness.records import Kind, Scale

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class WordPerplexity(Plugin):
    """exp(-sum of log-likelihoods / number of words), as lm-eval's ``weighted_perplexity``.

    Words are what stands between white space. Comparable across tokenizers, as per byte and bit.
    """

    kind: ClassVar[Kind] = "perplexity"
    unit: ClassVar[str | None] = None
    scale: ClassVar[Scale] = "nats"
    """Differences are those of the perplexity's logarithm."""
    per_token: ClassVar[bool] = False
    name: str = "word_perplexity"
    higher_is_better: bool = False

    def measure(self, sample: Sample, responses: Sequence[Any]) -> tuple[float, float] | None:
        """(log-likelihood, units); None where it is not finite."""
        value = sample.values.get(self.name)
        if value is None:
            return None
        if not isinstance(value, (tuple, list)):
            value = (value, 1.0)
        if len(value) != 2:
            raise MetricError(
                f"task '{sample.task}': metric '{self.name}' needs (log-likelihood, units)",
                value=value,
            )
        return float(value[0]), float(value[1])

    def aggregate(self, rows: NDArray[np.float64]) -> float:
        """(n, 2) -> perplexity per unit; infinite where it overflows."""
        return self.shown(_exp(-_per_unit(rows)))

    def shown(self, perplexity: float) -> float:
        """The metric's value from the perplexity per unit."""
        return perplexity


class BytePerplexity(WordPerplexity):
    """exp(-sum of log-likelihoods / number of UTF-8 bytes)."""

    name: str = "byte_perplexity"


class TokenPerplexity(WordPerplexity):
    """exp(-sum of log-likelihoods / number of tokens): only between models of one tokenizer."""

    per_token: ClassVar[bool] = True
    name: str = "token_perplexity"


class TargetPerplexity(WordPerplexity):
    """exp(-mean log-likelihood of a target), lm-eval's ``perplexity``: each target is one unit."""

    name: str = "perplexity"


class BitsPerByte(WordPerplexity):
    """-sum of log-likelihoods / (bytes * ln 2)."""

    unit: ClassVar[str | None] = "bits"
    scale: ClassVar[Scale] = "bits"
    name: str = "bits_per_byte"

    def aggregate(self, rows: NDArray[np.float64]) -> float:
        """(n, 2) -> bits per byte."""
        return -_per_unit(rows) / math.log(2)

    def shown(self, perplexity: float) -> float:
        """Bits from byte perplexity."""
        return math.log2(perplexity)


def _per_unit(rows: NDArray[np.float64]) -> float:
    # Plain sums, as lm-eval adds them, so that the printed digits are the same.
    return float(sum(rows[:, 0].tolist()) / sum(rows[:, 1].tolist()))


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf
