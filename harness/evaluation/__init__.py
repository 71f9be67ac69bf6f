"""Suite x checkpoint -> rows and scores."""

from typing import TYPE_CHECKING

from steelyard.harness import lazy_names

if TYPE_CHECKING:
    from steelyard.harness.evaluation.answers import json_document
    from steelyard.harness.evaluation.card import (
        TaskCard,
        built_suite,
        task_cards,
        task_of_file,
        try_out,
    )
    from steelyard.harness.evaluation.code import answers_key, metering_code, scoring_code
    from steelyard.harness.evaluation.contamination import Overlaps, marked
    from steelyard.harness.evaluation.cost import measured_cost
    from steelyard.harness.evaluation.evaluating import Evaluation, divergence, evaluate, fill
    from steelyard.harness.evaluation.measuring import row_of, row_or_none, value_of
    from steelyard.harness.evaluation.metric_choice import (
        as_lm_eval_measures,
        counts_tokens,
        load_metric,
        metric_for,
    )
    from steelyard.harness.evaluation.part import PartEvaluation
    from steelyard.harness.evaluation.rows import advised
    from steelyard.harness.evaluation.scores import score_of
    from steelyard.harness.evaluation.validation import (
        Measured,
        built,
        choice_digest,
        held_out_loss,
        task_value,
    )
else:
    # Trainers that choose by a score come in here, and listing trainers loads no numpy.
    __getattr__ = lazy_names(
        __name__,
        {
            "answers": ["json_document"],
            "card": ["TaskCard", "built_suite", "task_cards", "task_of_file", "try_out"],
            "code": ["answers_key", "metering_code", "scoring_code"],
            "contamination": ["Overlaps", "marked"],
            "cost": ["measured_cost"],
            "evaluating": ["Evaluation", "divergence", "evaluate", "fill"],
            "measuring": ["row_of", "row_or_none", "value_of"],
            "metric_choice": ["as_lm_eval_measures", "counts_tokens", "load_metric", "metric_for"],
            "part": ["PartEvaluation"],
            "rows": ["advised"],
            "scores": ["score_of"],
            "validation": ["Measured", "built", "choice_digest", "held_out_loss", "task_value"],
        },
    )

__all__ = [
    "Evaluation",
    "Measured",
    "Overlaps",
    "PartEvaluation",
    "TaskCard",
    "advised",
    "answers_key",
    "as_lm_eval_measures",
    "built",
    "built_suite",
    "choice_digest",
    "counts_tokens",
    "divergence",
    "evaluate",
    "fill",
    "held_out_loss",
    "json_document",
    "load_metric",
    "marked",
    "measured_cost",
    "metering_code",
    "metric_for",
    "row_of",
    "row_or_none",
    "score_of",
    "scoring_code",
    "task_cards",
    "task_of_file",
    "task_value",
    "try_out",
    "value_of",
]
