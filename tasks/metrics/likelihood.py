"""Perplexity and its kin: rows are (log-likelihood in nats, length in units)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import PrivateAttr

from steelyard.harness.errors import MetricError
from steelyard.harness.plugins import Plugin, Sample, TaskTexts
from steelyard.harness.records import Flag, Kind, Scale

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class WordPerplexity(Plugin):
    """exp(-sum of log-likelihoods / number of words), as lm-eval's ``weighted_perplexity``.

    Words are what stands between white space. Comparable across tokenizers, as per byte and bit. A
    text that is written without spaces has no such words, and no value.
    """

    kind: ClassVar[Kind] = "perplexity"
    unit: ClassVar[str | None] = None
    scale: ClassVar[Scale] = "nats"
    """Differences are those of the perplexity's logarithm."""
    per_token: ClassVar[bool] = False
    name: str = "word_perplexity"
    higher_is_better: bool = False

    _has_units: bool = PrivateAttr(default=True)

    def for_task(self, texts: TaskTexts) -> Self:
        """As it measures a task of these texts: words are no unit where no space parts them."""
        fitted = self.model_copy()
        fitted._has_units = self.name != "word_perplexity" or not texts.without_spaces
        return fitted

    def reason(self, sample: Sample) -> Flag | None:
        """Why a sample has no row."""
        return None if self._has_units else Flag.NO_SPACES

    @property
    def remark(self) -> str | None:
        """What a reader of the score must know of how it fits this task."""
        if self._has_units:
            return None
        return "words are counted by spaces, which these texts do not have: see bits_per_byte"

    def measure(self, sample: Sample, responses: Sequence[Any]) -> tuple[float, float] | None:
        """(log-likelihood, units); None where it is not finite, or there are no such units."""
        value = sample.values.get(self.name)
        if value is None or not self._has_units:
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
