"""Suite x checkpoint -> rows and scores."""

from steelyard.harness.evaluation.code import answers_key, scoring_code
from steelyard.harness.evaluation.evaluate import Evaluation, divergence, evaluate, fill
from steelyard.harness.evaluation.metric_choice import load_metric, metric_for
from steelyard.harness.evaluation.part import PartEvaluation
from steelyard.harness.evaluation.scores import score_of

__all__ = [
    "Evaluation",
    "PartEvaluation",
    "answers_key",
    "divergence",
    "evaluate",
    "fill",
    "load_metric",
    "metric_for",
    "score_of",
    "scoring_code",
]
