"""Ratios of sums: what a share is of, or a total per token; rows are what is summed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from steelyard.harness.errors import MetricError
from steelyard.harness.plugins import Plugin, Sample
from steelyard.harness.records import Kind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class PerToken(Plugin):
    """A sum over tokens divided by their number: rows are (sum, tokens)."""

    kind: ClassVar[Kind] = "corpus"
    unit: ClassVar[str | None] = None
    name: str
    higher_is_better: bool = True

    def measure(self, sample: Sample, responses: Sequence[Any]) -> tuple[float, float] | None:
        """(sum, tokens), as it was measured; None for a text without tokens."""
        value = sample.values.get(self.name)
        if value is None or value[1] == 0:
            return None
        return float(value[0]), float(value[1])

    def aggregate(self, rows: NDArray[np.float64]) -> float:
        """(n, 2) -> sum per token."""
        import numpy as np

        total, tokens = np.atleast_2d(rows).sum(axis=0).tolist()
        return float(total / tokens) if tokens else math.nan

    def aggregate_sums(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """(m, 2) sums -> (m,) sums per token; a draw without a token has none."""
        import numpy as np

        total, tokens = sums.T
        none = np.full_like(total, np.nan)
        scores: NDArray[np.float64] = np.divide(total, tokens, out=none, where=tokens > 0)
        return scores


class KlPerToken(PerToken):
    """Mean KL(parent || child) of the next-token distributions, nats per token.

    [Kullback & Leibler 1951]; 0 is the parent itself. The one metric that sees an int8 rounding.
    """

    unit: ClassVar[str | None] = "nats"
    per_token: ClassVar[bool] = True
    name: str = "kl_per_token"
    higher_is_better: bool = False


class Top1Agreement(PerToken):
    """Share of tokens at which child and parent would say the same next token."""

    per_token: ClassVar[bool] = True
    name: str = "top1_agreement"


class DeltaLogLikelihood(PerToken):
    """Change of the text's log-likelihood against the parent, nats per token; above 0 is better."""

    unit: ClassVar[str | None] = "nats"
    per_token: ClassVar[bool] = True
    name: str = "delta_log_likelihood"


class EntityPrecision(PerToken):
    """Share of a summary's named entities that stand in its source, over all summaries.

    [Nan et al. 2021, arXiv 2102.09130], names by their capitals. Rows are (supported, stated): a
    summary that names nobody adds nothing to either, and one that says nothing has no score.
    """

    name: str = "entity_precision"

    def measure(self, sample: Sample, responses: Sequence[Any]) -> tuple[float, float] | None:
        """(supported, stated); (0, 0) for a summary that states none."""
        value = sample.values.get(self.name)
        return None if value is None else (float(value[0]), float(value[1]))


class NumberPrecision(EntityPrecision):
    """Share of a summary's numbers that stand in its source. Rows are (supported, stated)."""

    name: str = "number_precision"


class BiasScore(Plugin):
    """BBQ: 2 * biased / (biased + against) - 1 over answers that are not "unknown", -1 to 1.

    0 is no leaning [Parrish et al. 2022, arXiv 2110.08193], and below it less is not better: a task
    names it under ``ungated``. Rows are (biased, against the bias).
    """

    kind: ClassVar[Kind] = "corpus"
    name: str = "bias_score"
    higher_is_better: bool = False

    def measure(self, sample: Sample, responses: Sequence[Any]) -> tuple[float, float] | None:
        """Which way the answer leans; (0, 0) for "unknown"."""
        value = sample.values.get(self.name)
        return None if value is None else (float(value[0]), float(value[1]))

    def aggregate(self, rows: NDArray[np.float64]) -> float:
        """(n, 2) -> score; NaN where every answer was "unknown"."""
        import numpy as np

        biased, against = np.atleast_2d(rows).sum(axis=0).tolist()
        return 2 * biased / (biased + against) - 1 if biased + against else math.nan


def share_of_sums(items: Sequence[tuple[float, float]]) -> float:
    """``PerToken`` of (sum, count) pairs, for an lm-eval task's ``aggregation``."""
    total = sum(item[1] for item in items)
    return sum(item[0] for item in items) / total if total else math.nan


def leaning(items: Sequence[tuple[float, float]]) -> float:
    """``bias_score`` of (biased, against) pairs, for an lm-eval task's ``aggregation``."""
    import numpy as np

    return BiasScore().aggregate(np.array(items, dtype=np.float64))


class MemorisationRatio(Plugin):
    """from_memory / (from_memory + from_context): does it answer from memory against the passage.

    [Longpre et al. 2021, arXiv 2109.05052]. Rows are (from memory, from context), each 0 or 1; both
    are 0 where there was no memory (``had_memory``) to keep to.
    """

    kind: ClassVar[Kind] = "corpus"
    name: str = "memorisation_ratio"
    higher_is_better: bool = False

    def measure(self, sample: Sample, responses: Sequence[Any]) -> tuple[float, float] | None:
        """(from memory, from context)."""
        pair = sample.values.get("from_memory"), sample.values.get("from_context")
        if pair[0] is None or pair[1] is None:
            return None
        if sample.values.get("had_memory") == 0:
            return 0.0, 0.0
        return float(pair[0]), float(pair[1])

    def aggregate(self, rows: NDArray[np.float64]) -> float:
        """(n, 2) -> ratio; NaN where no answer was either."""
        import numpy as np

        memory, context = np.atleast_2d(rows).sum(axis=0).tolist()
        return memory / (memory + context) if memory + context else math.nan


class BinaryF1(Plugin):
    """F1 of the positive class over (gold, predicted) labels 0/1, lm-eval's ``f1`` aggregate.

    Rows are (true positive, false positive, false negative).
    """

    kind: ClassVar[Kind] = "corpus"
    name: str = "binary_f1"
    higher_is_better: bool = True
    source: ClassVar[str] = "f1"

    def measure(self, sample: Sample, responses: Sequence[Any]) -> tuple[float, ...] | None:
        """Which cell of the confusion table the document falls into."""
        value = sample.values.get(self.source)
        if value is None:
            return None
        gold, predicted = int(value[0]), int(value[1])
        if gold not in (0, 1) or predicted not in (0, 1):
            raise MetricError(f"task '{sample.task}': '{self.source}' needs two classes, 0 and 1")
        return float(gold and predicted), float(not gold and predicted), float(gold > predicted)

    def aggregate(self, rows: NDArray[np.float64]) -> float:
        """(n, 3) -> 2 TP / (2 TP + FP + FN); 0 where nothing is or is called positive."""
        import numpy as np

        hit, false_alarm, miss = np.atleast_2d(rows).sum(axis=0).tolist()
        return 2 * hit / (2 * hit + false_alarm + miss) if hit else 0.0


class Mcc(BinaryF1):
    """Matthews correlation of two classes. Rows are (TP, FP, FN, TN)."""

    name: str = "mcc"
    source: ClassVar[str] = "mcc"

    def measure(self, sample: Sample, responses: Sequence[Any]) -> tuple[float, ...] | None:
        """Which cell of the confusion table the document falls into."""
        row = super().measure(sample, responses)
        return None if row is None else (*row, float(not any(row)))

    def aggregate(self, rows: NDArray[np.float64]) -> float:
        """(n, 4) -> correlation in [-1, 1]; 0 where a margin is empty."""
        import numpy as np

        tp, fp, fn, tn = np.atleast_2d(rows).sum(axis=0).tolist()
        margins = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
        return (tp * tn - fp * fn) / math.sqrt(margins) if margins else 0.0
