"""A run as lm-eval writes its own: ``results_*.json`` with ``samples_*.jsonl`` beside it.

A sample's value is written so that it reads back as the same row: lm-eval's own kind of value
where there is one, else the row itself, named under ``steelyard_rows``. `steelyard import lm-eval`
then gives the same numbers.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime

from steelyard.harness.compare import Scored
from steelyard.harness.evaluation import load_metric
from steelyard.harness.plugins import plugin_names
from steelyard.harness.records import (
    IN_TRAINING_DATA,
    NO_FILTER,
    Run,
    Score,
    TaskSignature,
    filter_name,
    metric_name,
)
from steelyard.reports.exports.lm_eval_samples import sample_lines, task_hash

#: The separators and wild cards that lm-eval replaces in a model's name.
_UNSAFE = re.compile(r"[\"<>:/|\\?*\[\]]+")
NOT_AVAILABLE = "N/A"


def lm_eval_files(scored: Scored) -> Iterator[tuple[str, str]]:
    """(path, text) of each file, the results last: ``experiment__candidate/results_DATE.json``."""
    run = scored.run
    folder = _UNSAFE.sub("__", f"{run.experiment}/{run.candidate}")
    moment = _run_time(run)
    hashes: dict[str, str] = {}
    for task in scored.tasks:
        lines = sample_lines(scored, task)
        if lines:
            name = re.sub(r"[/\\]+", "__", task)
            hashes[task] = task_hash(lines)
            text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
            yield f"{folder}/samples_{name}_{moment}.jsonl", text
    content = {**lm_eval_results(scored), "task_hashes": hashes, "model_name_sanitized": folder}
    yield f"{folder}/results_{moment}.json", json.dumps(content, indent=2, ensure_ascii=False)


def lm_eval_results(scored: Scored) -> dict[str, object]:
    """The content of ``results_*.json``; a missing number is left out, never 0."""
    run = scored.run
    tasks = scored.tasks
    signatures = {task: run.signature(task) for task in tasks}
    scored_in = [energy.seconds for energy in run.energy if energy.phase == "score"]
    seconds = [each for each in scored_in if each is not None]
    return {
        "results": {task: _numbers(scored, task) for task in tasks},
        "group_subtasks": {task: _parts(scored, task) for task in tasks},
        "configs": {
            task: _config(scored, task, signatures[task])
            for task in tasks
            if not _parts(scored, task)
        },
        "versions": {task: _task_version(signatures[task]) for task in tasks},
        "n-shot": {task: s.few_shot for task, s in signatures.items() if s is not None},
        "higher_is_better": {task: _directions(scored, task) for task in tasks},
        "n-samples": {task: _sample_counts(scored, task) for task in tasks},
        "config": _run_config(run),
        "git_hash": None,
        "date": run.made,
        "lm_eval_version": _package(run, "lm_eval", "lm-eval"),
        "transformers_version": _package(run, "transformers"),
        "model_source": "steelyard",
        "model_name": f"{run.experiment}/{run.candidate}",
        "chat_template_sha": next((s.template for s in signatures.values() if s), None),
        "max_length": next((s.max_length for s in signatures.values() if s), None),
        "total_evaluation_time_seconds": str(sum(seconds)) if seconds else None,
    }


def _parts(scored: Scored, task: str) -> list[str]:
    """The tasks of a group, as lm-eval lists them; a task has none."""
    return list(dict.fromkeys(part for s in scored.scores_of(task).values() for part in s.parts))


def _numbers(scored: Scored, task: str) -> dict[str, object]:
    count = _sample_counts(scored, task)["effective"]
    numbers: dict[str, object] = {"name": task, "alias": task, "sample_len": count}
    for metric, score in scored.scores_of(task).items():
        if score.value is None:
            continue
        name, behind = metric_name(metric), filter_name(metric) or NO_FILTER
        numbers[f"{name},{behind}"] = score.value
        if not name.endswith("_stderr"):
            error = _standard_error(scored, score)
            numbers.setdefault(f"{name}_stderr,{behind}", NOT_AVAILABLE if error is None else error)
    return numbers


def _standard_error(scored: Scored, score: Score) -> float | None:
    """lm-eval's ``mean_stderr``: the sample standard deviation over the root of n."""
    rows = scored.rows.get((score.task, score.metric))
    if rows is None or score.kind not in ("accuracy", "bounded") or score.n < 2:
        stored = scored.scores_of(score.task).get(f"{score.metric}_stderr")
        return None if stored is None else stored.value
    return float(rows.values[rows.scored].std(ddof=1)) / math.sqrt(score.n)


def _config(scored: Scored, task: str, signature: TaskSignature | None) -> dict[str, object]:
    """What the task's dumped configuration would say, as far as a run knows it."""
    scores = scored.scores_of(task).values()
    primary = next((score for score in scores if score.primary), None)
    samples = scored.samples_of(task).values()
    about = {
        "family": primary.family if primary else None,
        "primary": primary.metric if primary else None,
        "chance": primary.chance if primary else None,
        "majority": primary.majority if primary else None,
        "cluster": "steelyard_cluster" if any(s.cluster for s in samples) else None,
        "graded": _graded(scores) or None,
        "advisory": True if primary and primary.advisory else None,
        "slices": sorted({name for s in samples for name in s.slices} - {IN_TRAINING_DATA}) or None,
    }
    metadata = {key: value for key, value in about.items() if value is not None}
    config: dict[str, object] = {
        "task": task,
        "metadata": {"version": _task_version(signature), "steelyard": metadata},
    }
    signatures = {score.metric: score.signature for score in scores if score.signature}
    if signatures:
        config["steelyard_metric_signatures"] = signatures
    if signature is not None:
        config |= {
            "num_fewshot": signature.few_shot,
            "steelyard_task_digest": signature.task_digest,
            "steelyard_parity": signature.parity,
        }
        if signature.reference is not None:
            config["steelyard_reference"] = signature.reference
        if signature.decoding is not None:
            config["generation_kwargs"] = _json_or_text(signature.decoding)
    return config


def _graded(scores: Collection[Score]) -> list[str]:
    """Metrics whose name stands for 0 or 1, and that this task gave as a share."""
    registered = plugin_names("metrics")
    names = [metric_name(s.metric) for s in scores if s.kind == "bounded"]
    return [name for name in names if name in registered and load_metric(name).kind == "accuracy"]


def _json_or_text(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _task_version(signature: TaskSignature | None) -> str:
    """Ours is a digest; an imported task kept the number that it had."""
    digest = "unknown" if signature is None else signature.task_digest
    return digest.removeprefix("version ")[:12]


def _directions(scored: Scored, task: str) -> dict[str, bool]:
    scores = scored.scores_of(task)
    return {metric_name(metric): score.higher_is_better for metric, score in scores.items()}


def _sample_counts(scored: Scored, task: str) -> dict[str, int]:
    """How many samples there were; lm-eval counts those without a value too."""
    count = max((s.n + s.unscored for s in scored.scores_of(task).values()), default=0)
    return {"original": count, "effective": count}


def _run_config(run: Run) -> Mapping[str, object]:
    first = run.signatures[0] if run.signatures else None
    config: dict[str, object] = {
        "model": "steelyard",
        "model_args": {"pretrained": run.candidate, "base": run.checkpoint.base},
        "model_num_parameters": run.checkpoint.parameters,
        "model_dtype": first.dtype if first else run.checkpoint.dtype,
        "limit": first.limit if first else None,
        "fewshot_seed": first.few_shot_seed if first else None,
    }
    return {key: value for key, value in config.items() if value is not None or key == "limit"}


def _package(run: Run, *names: str) -> str | None:
    versions = [s.versions for s in run.signatures] + [run.environment.packages]
    return next((v[name] for v in versions for name in names if name in v), None)


def _run_time(run: Run) -> str:
    """As in lm-eval's file names: ``2026-11-23T10-00-00``."""
    made = datetime.fromisoformat(run.created_at)
    plain = made.astimezone(UTC).replace(tzinfo=None) if made.tzinfo else made
    return plain.isoformat().replace(":", "-")
