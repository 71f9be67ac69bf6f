"""ROUGE of rouge_score with stemming, against one reference or several; 0 to 1."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, Literal

from steelyard.harness.plugins import Sample
from steelyard.tasks.metrics.means import Mean, one_number
from steelyard.tasks.metrics.translation import references_and_hypothesis

TYPES = ("rouge1", "rouge2", "rougeL", "rougeLsum")
Several = Literal["mean", "best"]


class Rouge1(Mean):
    """ROUGE-1 F-measure [Lin 2004]; several references are averaged, or the best one counts.

    A task gives either the number or (references, summary).
    """

    name: str = "rouge1"
    several: Several = "mean"

    def measure(self, sample: Sample, responses: Sequence[Any]) -> tuple[float] | None:
        """The summary's F-measure; None without a reference."""
        if not isinstance(sample.values.get(self.name), (tuple, list)):
            return one_number(self.name, sample)
        pair = references_and_hypothesis(self.name, sample)
        if pair is None:
            return None
        return (rouge(*pair, types=(self.name,), several=self.several)[self.name],)


class Rouge2(Rouge1):
    """ROUGE-2 F-measure."""

    name: str = "rouge2"


class RougeL(Rouge1):
    """ROUGE-L F-measure: longest common subsequence of the whole texts."""

    name: str = "rougeL"


class RougeLsum(Rouge1):
    """ROUGE-Lsum F-measure: longest common subsequences line by line."""

    name: str = "rougeLsum"


def rouge(
    references: Sequence[str],
    summary: str,
    *,
    types: Sequence[str] = TYPES,
    several: Several = "mean",
) -> dict[str, float]:
    """F-measures of a summary by ROUGE type, for a task's ``process_results``."""
    scores = [_scorer(tuple(types)).score(reference, summary) for reference in references]
    join = max if several == "best" else _mean_over_references
    return {name: join([float(score[name].fmeasure) for score in scores]) for name in types}


def _mean_over_references(values: Sequence[float]) -> float:
    return sum(values) / len(values)


@cache
def _scorer(types: tuple[str, ...]) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(list(types), use_stemmer=True)
