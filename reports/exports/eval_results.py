"""A run as the hub's ``.eval_results/*.yaml``, which model pages and dataset leaderboards read.

The hub names a benchmark by its data set there, which a run does not know: whoever exports says
which task is which (``gsm8k=openai/gsm8k:gsm8k``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import yaml

from steelyard.harness.errors import ConfigError, did_you_mean
from steelyard.harness.files import one_line
from steelyard.harness.records import Run, Score


@dataclass(frozen=True)
class HubBenchmark:
    """A benchmark on the hub: its data set, and the task in it."""

    dataset: str
    task: str


def parse_benchmarks(texts: Sequence[str]) -> dict[str, HubBenchmark]:
    """``task=org/name[:task id]`` -> by our task. Raises ``ConfigError`` with an example."""
    benchmarks = {}
    for text in texts:
        task, equals, rest = text.partition("=")
        dataset, _, hub_task = rest.partition(":")
        if not equals or not task or not re.fullmatch(r"[\w.-]+/[\w.-]+", dataset):
            fix = "as in gsm8k=openai/gsm8k:gsm8k"
            raise ConfigError("not a data set of the hub", key="--dataset", value=text, fix=fix)
        benchmarks[task] = HubBenchmark(dataset, hub_task or "default")
    return benchmarks


def eval_results_files(
    run: Run, benchmarks: Mapping[str, HubBenchmark]
) -> Iterator[tuple[str, str]]:
    """(path, YAML) for each of ``benchmarks`` that the run has a primary score of.

    Raises ``ConfigError`` for a task that the run was not scored on, and where none is named.
    """
    from huggingface_hub import EvalResultEntry
    from huggingface_hub._eval_results import eval_result_entries_to_yaml

    if not benchmarks:
        fix = "as in --dataset gsm8k=openai/gsm8k:gsm8k"
        raise ConfigError("which data set of the hub is meant?", key="--dataset", fix=fix)
    primary = {s.task: s for s in run.scores if s.primary and s.value is not None}
    for task, benchmark in benchmarks.items():
        score = primary.get(task)
        if score is None:
            fix = did_you_mean(task, primary)
            name = f"{run.experiment}/{run.candidate}"
            raise ConfigError(f"{name} has no score of '{task}'", key="--dataset", fix=fix)
        entry = EvalResultEntry(
            dataset_id=benchmark.dataset,
            task_id=benchmark.task,
            value=score.value,
            date=datetime.fromisoformat(run.created_at).isoformat(),
            notes=_notes(run, score),
        )
        text = yaml.safe_dump(eval_result_entries_to_yaml([entry]), sort_keys=False)
        yield f".eval_results/{re.sub(r'[^A-Za-z0-9_.-]+', '_', task)}.yaml", text


def _notes(run: Run, score: Score) -> str:
    """The metric with its interval and samples; what the number was made under."""
    parts = [score.metric]
    if score.low is not None and score.high is not None:
        parts.append(f"{score.confidence:.0%} interval {score.low:.4g} to {score.high:.4g}")
    if score.n:
        parts.append(f"{score.n} samples")
    signature = run.signature(score.task)
    if signature is not None:
        parts.append(f"{signature.few_shot}-shot")
        if signature.limit is not None:
            parts.append(f"limited to {signature.limit}")
    if run.imported_from:
        parts.append(f"imported from {run.imported_from}")
    return one_line("; ".join(parts), 300)
