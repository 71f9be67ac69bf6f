"""Every Eval Ever records (schema 0.2 and later, evaleval/every_eval_ever) as runs to be shown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from steelyard.harness.errors import Collected, DataError, located
from steelyard.harness.files import digest_json, read_json_object
from steelyard.harness.imports.error_bars import error_bar
from steelyard.harness.imports.imported import (
    EXPERIMENT,
    UNKNOWN,
    Imported,
    Model,
    Source,
    imported_run,
    plain_name,
)
from steelyard.harness.imports.numbers import number
from steelyard.harness.records import IMPORTED, Score, TaskSignature

_REQUIRED = ("evaluation_id", "model_info", "evaluation_results")
_CONFIDENCE = 0.95


def read_every_eval_ever(
    path: Path, *, name: str | None = None, experiment: str = EXPERIMENT
) -> Imported:
    """One record as a run of aggregates, with the intervals or standard errors that it gives.

    Raises ``DataError`` where the file is no such record, a line for each result that is none.
    """
    content = read_json_object(path, DataError)
    with located(file=path):
        scores, signatures = _record_results(content)
    model = _record_part(content, "model_info")
    source = _record_part(content, "source_metadata")
    library = _record_part(content, "eval_library")
    named = str(model.get("id") or model.get("name") or path.stem)
    organization = source.get("source_organization_name")
    run = imported_run(
        Source(f"Every Eval Ever by {organization or UNKNOWN}", (path,)),
        candidate=name or plain_name(named),
        experiment=experiment,
        suite="every-eval-ever",
        model=Model(named, versions=_evaluator_version(library)),
        scores=tuple(scores.values()),
        signatures=tuple(signatures.values()),
        created_at=_evaluation_time(content),
    )
    return Imported(run, remarks=("no samples: shown, but a gate cannot test it",))


def _record_results(
    content: Mapping[str, object],
) -> tuple[dict[tuple[str, str], Score], dict[str, TaskSignature]]:
    """Scores by task and metric, and signatures by task."""
    lacking = [k for k in _REQUIRED if not content.get(k)]
    results = content.get("evaluation_results")
    if lacking or not isinstance(results, list):
        missing = ", ".join(lacking) or "evaluation_results as a list"
        raise DataError(f"is no Every Eval Ever record: no {missing}")
    scores: dict[tuple[str, str], Score] = {}
    signatures: dict[str, TaskSignature] = {}
    problems = Collected()
    for index, result in enumerate(results):
        with problems.of(key=f"evaluation_results.{index}"):
            score = _record_score(result)
            if (score.task, score.metric) in scores:
                raise DataError(f"'{score.metric}' of '{score.task}' stands twice")
            is_first = score.task not in signatures
            scores[score.task, score.metric] = score.model_copy(update={"primary": is_first})
            if is_first:
                signatures[score.task] = _record_signature(score.task, result, content)
    problems.raise_any()
    return scores, signatures


def _record_part(content: Mapping[str, object], name: str) -> Mapping[str, object]:
    part = content.get(name)
    return part if isinstance(part, Mapping) else {}


def _evaluator_version(library: Mapping[str, object]) -> dict[str, str]:
    name = library.get("name")
    return {str(name): str(library.get("version") or UNKNOWN)} if name else {}


def _record_score(result: object) -> Score:
    entry = result if isinstance(result, Mapping) else {}
    config, details = _record_part(entry, "metric_config"), _record_part(entry, "score_details")
    task = str(entry.get("evaluation_name") or "")
    value = number(details.get("score"))
    if not task or value is None:
        raise DataError("has no evaluation_name" if not task else "has no finite score")
    doubt = _record_part(details, "uncertainty")
    metric = str(config.get("metric_name") or config.get("metric_id") or "score")
    lowest, highest = number(config.get("min_score")), number(config.get("max_score"))
    _require_on_scale(value, lowest, highest)
    share = (lowest, highest) == (0.0, 1.0) and metric.startswith(("acc", "exact"))
    low, high, confidence, note = _interval(value, doubt, share=share)
    lower = config.get("lower_is_better")
    if lower is not None and not isinstance(lower, bool):
        raise DataError("lower_is_better is neither true nor false", value=lower)
    return Score(
        task=task,
        metric=metric,
        value=value,
        low=low,
        high=high,
        confidence=confidence,
        n=int(number(doubt.get("num_samples")) or 0),
        kind="accuracy" if share else "bounded",
        higher_is_better=lower is not True,
        family=IMPORTED,
        unit=config.get("metric_unit") if isinstance(config.get("metric_unit"), str) else None,
        note=note,
    )


def _require_on_scale(value: float, lowest: float | None, highest: float | None) -> None:
    """Raises ``DataError`` for a score that its own record has no place for: 85 of 0 to 1."""
    below = lowest is not None and value < lowest
    if below or (highest is not None and value > highest):
        ends = " to ".join("?" if end is None else f"{end:g}" for end in (lowest, highest))
        fix = "mend the score, or min_score and max_score"
        raise DataError(
            f"the score lies outside the metric's own scale, {ends}", value=value, fix=fix
        )


def _interval(
    value: float, doubt: Mapping[str, object], *, share: bool
) -> tuple[float | None, float | None, float, str | None]:
    interval = _record_part(doubt, "confidence_interval")
    low, high = number(interval.get("lower")), number(interval.get("upper"))
    if low is not None and high is not None:
        if low > high:
            raise DataError("the interval ends before it begins", value=[low, high])
        confidence = _confidence(interval.get("confidence_level"))
        if not low <= value <= high:
            note = f"the record's interval, {low:g} to {high:g}, does not hold its score: left out"
            return None, None, _CONFIDENCE, note
        return low, high, confidence, None
    error = number(_record_part(doubt, "standard_error").get("value"))
    if error is None:
        return None, None, _CONFIDENCE, None
    if error < 0:
        raise DataError("a standard error is not negative", value=error)
    n = int(number(doubt.get("num_samples")) or 0)
    bar = error_bar(value, error, n, "the record's standard error", share=share)
    return bar.low, bar.high, _CONFIDENCE, bar.note


def _confidence(level: object) -> float:
    """A confidence between 0 and 1; 95 is taken for per cent. Raises ``DataError``."""
    share = number(level)
    if share is None:
        return _CONFIDENCE
    if 1 < share < 100:
        share /= 100
    if not 0 < share < 1:
        raise DataError("confidence_level lies between 0 and 1", value=level, fix="as in 0.95")
    return share


def _record_signature(
    task: str, result: Mapping[str, object], content: Mapping[str, object]
) -> TaskSignature:
    """Everything that the record says of how the task was put, as one digest."""
    library = _record_part(content, "eval_library")
    how = {"library": library.get("name"), "generation": result.get("generation_config")}
    settings = _record_part(_record_part(result, "metric_config"), "additional_details")
    text = json.dumps([how, settings], sort_keys=True, default=str)
    data = json.dumps(result.get("source_data"), sort_keys=True, default=str)
    return TaskSignature(
        task=task,
        task_digest=digest_json(text),
        data_digest=digest_json(data),
        few_shot=int(number(settings.get("few_shot")) or 0),
        tokenizer=UNKNOWN,
        dtype=UNKNOWN,
        backend=str(library.get("name") or UNKNOWN),
        parity=None,
        versions=_evaluator_version(library),
    )


def _evaluation_time(content: Mapping[str, object]) -> str | None:
    """When it was evaluated, else retrieved: ISO 8601, or seconds since 1970 as text."""
    for key in ("evaluation_timestamp", "retrieved_timestamp"):
        stamp = content.get(key)
        seconds = number(stamp)
        try:
            if seconds is not None:
                return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
            if stamp:
                return datetime.fromisoformat(str(stamp)).isoformat(timespec="seconds")
        except (ValueError, OverflowError, OSError):
            continue
    return None
