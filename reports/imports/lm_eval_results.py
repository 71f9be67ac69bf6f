"""lm-eval's ``results_*.json``, today's and the old format, as runs marked as imported.

Aggregates only: such a run is shown and ranked among its like, and never compared sample by sample.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.errors import DataError
from harness.records import (
    CheckpointManifest,
    Digests,
    Environment,
    Kind,
    Run,
    Score,
    TaskSignature,
)

#: Two-sided 95% of the normal distribution; lm-eval gives a standard error and no interval.
_Z95 = 1.959963984540054
_PRIMARY = ("acc", "exact_match", "word_perplexity", "ppl", "bleu", "rougeL", "f1", "em")
_LOWER_IS_BETTER = ("ppl", "perplexity", "bits_per_byte", "ter", "brier", "loss", "difference")
_UNKNOWN = "unknown"


def read_lm_eval_results(path: Path) -> Run:
    """One results file as a run.

    The interval is value ± 1.96 standard errors where lm-eval gives one; the standard error itself
    is kept as a score of its own, named as lm-eval names it (``acc_stderr``).

    Raises ``DataError`` where the file is no lm-eval result.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError("cannot be read as JSON", file=path, fix=str(error)) from error
    results = content.get("results") if isinstance(content, dict) else None
    if not isinstance(results, dict) or not results:
        raise DataError("has no 'results'", file=path, fix="give lm-eval's results_*.json")
    config = content.get("config") or {}
    scores = tuple(
        score
        for task, values in results.items()
        if isinstance(values, Mapping)
        for score in _scores(task, values, content)
    )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    name = _model_name(config, path)
    when = content.get("date")
    made = datetime.fromtimestamp(when, UTC) if isinstance(when, int | float) else _modified(path)
    stamp = made.isoformat(timespec="seconds")
    return Run(
        id=digest[:32],
        experiment="imported",
        candidate=path.stem,
        suite="lm-eval",
        checkpoint=CheckpointManifest(
            digest=digest,
            digests=Digests(weights=_UNKNOWN, tokenizer=_UNKNOWN),
            format="full",
            candidate=path.stem,
            base=name,
            trainer="imported",
            size_bytes=0,
            created_at=stamp,
        ),
        scores=scores,
        signatures=tuple(_signature(task, content) for task in results),
        environment=Environment(python=_UNKNOWN, platform=_UNKNOWN),
        imported_from=f"lm-eval, {path.name}",
        created_at=stamp,
    )


def _modified(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _model_name(config: Mapping[str, Any], path: Path) -> str:
    """``EleutherAI/pythia-70m`` of ``pretrained=EleutherAI/pythia-70m,revision=step1000``."""
    arguments = config.get("model_args")
    if isinstance(arguments, str):
        arguments = dict(part.split("=", 1) for part in arguments.split(",") if "=" in part)
    found = arguments.get("pretrained") if isinstance(arguments, Mapping) else None
    return str(found or config.get("model") or path.stem)


def _scores(task: str, values: Mapping[str, Any], content: Mapping[str, Any]) -> Iterator[Score]:
    """Numbers named ``metric`` and ``metric_stderr``, today with a filter: ``metric,none``."""
    numbers = {k: float(v) for k, v in values.items() if isinstance(v, int | float)}
    metrics = [k for k in numbers if "_stderr" not in k and k not in ("alias", "sample_len")]
    samples = (content.get("n-samples") or {}).get(task) or {}
    primary = next((m for name in _PRIMARY for m in metrics if m.split(",")[0] == name), None)
    primary = primary or next(iter(metrics), None)
    for metric in metrics:
        name, _, filtered = metric.partition(",")
        error_name = f"{name}_stderr" + (f",{filtered}" if filtered else "")
        error = numbers.get(error_name)
        higher = (content.get("higher_is_better") or {}).get(task, {}).get(name)
        lower = any(word in name for word in _LOWER_IS_BETTER)
        kind: Kind = "accuracy" if name.startswith(("acc", "exact", "em")) else "bounded"
        shared: dict[str, Any] = {
            "task": task,
            "n": int(samples.get("effective") or 0),
            "family": "imported",
        }
        yield Score(
            **shared,
            metric=metric,
            value=numbers[metric],
            low=None if error is None else numbers[metric] - _Z95 * error,
            high=None if error is None else numbers[metric] + _Z95 * error,
            kind="perplexity" if "perplexity" in name or name == "ppl" else kind,
            higher_is_better=(not lower) if higher is None else bool(higher),
            primary=metric == primary,
            note=None if error is None else "interval from lm-eval's standard error",
        )
        if error is not None:
            yield Score(
                **shared, metric=error_name, value=error, kind="bounded", higher_is_better=False
            )


def _signature(task: str, content: Mapping[str, Any]) -> TaskSignature:
    config = content.get("config") or {}
    shots = (content.get("n-shot") or {}).get(task, config.get("num_fewshot"))
    version = (content.get("versions") or {}).get(task, _UNKNOWN)
    return TaskSignature(
        task=task,
        task_digest=(content.get("task_hashes") or {}).get(task) or f"version {version}",
        data_digest=_UNKNOWN,
        few_shot=int(shots or 0),
        tokenizer=_UNKNOWN,
        dtype=str(config.get("model_dtype") or _UNKNOWN),
        limit=None if config.get("limit") is None else int(config["limit"]),
        backend="lm-eval",
        versions={"lm-eval": str(content.get("lm_eval_version") or _UNKNOWN)},
    )
