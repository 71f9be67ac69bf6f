"""Does a model know how sure it may be: Brier score and expected calibration error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from steelyard.harness.errors import MetricError
from steelyard.harness.plugins import Plugin, Sample
from steelyard.harness.records import Kind
from steelyard.tasks.metrics.means import Mean, one_number

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Brier(Mean):
    """Sum over the choices of (probability - truth)^2, 0 to 2 [Brier 1950]; lower is better.

    Probabilities are a softmax over the choices' log-likelihoods, as in lm-eval's ``brier_score``.
    """

    name: str = "brier"
    higher_is_better: bool = False

    def measure(self, sample: Sample, responses: Sequence[Any]) -> tuple[float] | None:
        """The document's Brier score, from lm-eval's (gold, probabilities) or a number."""
        value = sample.values.get(self.name)
        if not isinstance(value, (tuple, list)):
            return one_number(self.name, sample)
        gold, probabilities = value
        if not 0 <= int(gold) < len(probabilities):
            return None
        return (sum((float(p) - (i == gold)) ** 2 for i, p in enumerate(probabilities)),)


class BrierScore(Brier):
    """``brier`` under lm-eval's name."""

    name: str = "brier_score"


class ExpectedCalibrationError(Plugin):
    """Mean gap between confidence and accuracy over ten bins of equal mass, 0 to 1.

    Rows are (confidence in [0, 1], correct 0/1). Naeini et al. 2015, equal-mass bins as in Nixon
    et al. 2019 (arXiv 1904.01685), of which none parts equal confidences; less what sampling noise
    alone would give (``steelyard.harness.stats``). Shown, never gated on: Brier gates.
    """

    kind: ClassVar[Kind] = "calibration"
    method: ClassVar[str] = "ece"
    name: str = "ece"
    higher_is_better: bool = False

    def measure(self, sample: Sample, responses: Sequence[Any]) -> tuple[float, float] | None:
        """(confidence, correct), as the task gives it."""
        return _confidence_and_truth(self.name, sample)

    def aggregate(self, rows: NDArray[np.float64]) -> float:
        """(n, 2) -> debiased ECE: the number that is shown with its interval."""
        from steelyard.harness.stats import calibration_error

        return calibration_error(rows, "ece")


class AreaUnderRiskCoverage(Plugin):
    """Mean risk of answering only the surest k documents, over all k, 0 to 1; lower is better.

    Rows are (confidence in [0, 1], correct 0/1); equal confidences share their place [Geifman,
    Uziel and El-Yaniv 2019, arXiv 1805.08206]. Sorting at random scores the share of wrong answers.
    Shown with a bootstrap interval, never gated on.
    """

    kind: ClassVar[Kind] = "calibration"
    method: ClassVar[str] = "aurc"
    name: str = "aurc"
    higher_is_better: bool = False

    def measure(self, sample: Sample, responses: Sequence[Any]) -> tuple[float, float] | None:
        """(confidence, correct), as the task gives it."""
        return _confidence_and_truth(self.name, sample)

    def aggregate(self, rows: NDArray[np.float64]) -> float:
        """(n, 2) -> area."""
        from steelyard.harness.stats import calibration_error

        return calibration_error(rows, "aurc")


def _confidence_and_truth(name: str, sample: Sample) -> tuple[float, float] | None:
    value = sample.values.get(name)
    if value is None:
        return None
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise MetricError(
            f"task '{sample.task}': metric '{name}' needs (confidence, correct)", value=value
        )
    return (float(value[0]), float(value[1]))


def risk_coverage(items: Sequence[tuple[float, float]]) -> float:
    """``aurc`` of (confidence, correct) pairs, for an lm-eval task's ``aggregation``."""
    import numpy as np

    return AreaUnderRiskCoverage().aggregate(np.array(items, dtype=np.float64))
