"""A run as an Every Eval Ever record, schema 0.3.0 (evaleval/every_eval_ever)."""

from __future__ import annotations

from datetime import UTC, datetime

from steelyard.harness.records import Run, Score, TaskSignature

SCHEMA = "0.3.0"


def every_eval_ever(
    run: Run, *, organization: str, evaluator: str = "first_party"
) -> dict[str, object]:
    """One record with one result a score; scores without a value are left out.

    Args:
        run: the run.
        organization: who ran the evaluation.
        evaluator: ``first_party``, ``third_party``, ``collaborative`` or ``other``.
    """
    made = run.made
    packages = run.environment.packages
    return {
        "schema_version": SCHEMA,
        "evaluation_id": f"{run.experiment}/{run.candidate}/{run.id}",
        "evaluation_timestamp": run.created_at,
        "retrieved_timestamp": str(datetime.now(UTC).timestamp()),
        "source_metadata": {
            "source_name": f"steelyard {run.experiment}",
            "source_type": "evaluation_run",
            "source_organization_name": organization,
            "evaluator_relationship": evaluator,
        },
        "eval_library": {
            "name": "lm_eval",
            "version": packages.get("lm-eval", packages.get("lm_eval", "unknown")),
            "additional_details": {"harness": "steelyard", "run": run.id, "made": str(made)},
        },
        "model_info": {
            "name": f"{run.experiment}/{run.candidate}",
            "id": f"{run.checkpoint.base}/{run.candidate}",
            "developer": organization,
            "additional_details": {
                "deployment_type": "self_deployed",
                "model_availability": "unknown",
                "checkpoint_digest": run.checkpoint.digest,
                "trainer": run.checkpoint.trainer,
                "base": run.checkpoint.base,
            },
        },
        "evaluation_results": [
            _result(score, run.signature(score.task))
            for score in run.scores
            if score.value is not None
        ],
    }


def _result(score: Score, signature: TaskSignature | None) -> dict[str, object]:
    details: dict[str, object] = {"score": score.value}
    uncertainty: dict[str, object] = {"num_samples": score.n} if score.n else {}
    if score.low is not None and score.high is not None:
        uncertainty["confidence_interval"] = {
            "lower": score.low,
            "upper": score.high,
            "confidence_level": score.confidence,
        }
    if uncertainty:
        details["uncertainty"] = uncertainty
    share = score.kind == "accuracy"
    return {
        "evaluation_name": score.task,
        "source_data": {"dataset_name": score.task, "source_type": "other"},
        "metric_config": {
            "metric_name": score.metric,
            "lower_is_better": not score.higher_is_better,
            "score_type": "continuous",
            "min_score": 0.0 if share else None,
            "max_score": 1.0 if share else None,
            "additional_details": _settings(signature),
        },
        "score_details": details,
    }


def _settings(signature: TaskSignature | None) -> dict[str, str]:
    if signature is None:
        return {}
    return {
        name: str(value)
        for name, value in signature.model_dump(exclude={"task", "versions"}).items()
        if value is not None
    }
