"""One number by which training stops, or a sweep chooses: a task's metric, or held-out loss.

It is what a choice is made on, so it is no evidence afterwards: where it is asked on items that the
gate holds a rule against, the report says so (:func:`selection_notes`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from steelyard.harness.errors import ConfigError, ScoringError, did_you_mean

if TYPE_CHECKING:
    from steelyard.harness.evaluation.evaluate import BuiltSuite
    from steelyard.harness.experiment import Candidate, Experiment
    from steelyard.harness.protocols import DataSource
    from steelyard.harness.records import Checkpoint


class ValidationTask(BaseModel):
    """A task on which a choice is made; lower or higher is better as the metric says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str | None = Field(None, description="A task of a suite; its metric decides.")
    metric: str | None = Field(None, description="None takes the task's primary metric.")
    limit: int | None = Field(100, ge=1, description="Items of the task, the same every time.")
    include: tuple[str, ...] = Field((), description="Folders with task YAMLs of your own.")


@dataclass(frozen=True)
class Measured:
    """One checkpoint's number."""

    value: float
    name: str
    """``task metric``."""
    higher_is_better: bool


def built(spec: ValidationTask) -> BuiltSuite:
    """The task with its documents, once for all checkpoints.

    Raises ``UnknownNameError`` or ``ConfigError``.
    """
    from steelyard.harness.evaluation.evaluate import build
    from steelyard.harness.suites import load_suite

    mapping = {
        "name": "validation",
        "include": list(spec.include),
        "tasks": [{"task": spec.task, "limit": spec.limit}],
    }
    return build(load_suite(mapping, folder=Path.cwd()))


def choice_digest(spec: ValidationTask) -> str:
    """Digest of the validation task, its documents, and the code that scores it.

    A recipe that chooses by a task is another one where the task changed. The task is built once
    for all that choose by it, and again where one of its files changed since.
    Raises ``UnknownNameError`` or ``ConfigError``.
    """
    from steelyard.harness.evaluation.code import scoring_code
    from steelyard.harness.files.digests import digest_json

    asked = (spec.task, spec.limit, spec.include, Path.cwd())
    files, stamps, digest = _known_choices.get(asked, ((), (), ""))
    if not digest or stamps != _stamps(files, spec.include):
        suite = built(spec)
        files = tuple(_data_files(suite))
        stamps, digest = _stamps(files, spec.include), suite.digest
        _known_choices[asked] = (files, stamps, digest)
    return digest_json([digest, scoring_code()])


#: What :func:`choice_digest` built in this process: data files, when they were written, digest.
_known_choices: dict[tuple[Any, ...], tuple[tuple[str, ...], tuple[Any, ...], str]] = {}


def _data_files(suite: BuiltSuite) -> Iterator[str]:
    """The local data files that the tasks' YAMLs name."""
    for task in suite.tasks:
        named = (getattr(task.config, "dataset_kwargs", None) or {}).get("data_files")
        for one in named.values() if isinstance(named, Mapping) else [named]:
            yield from [one] if isinstance(one, str) else one or ()


def _stamps(files: Sequence[str], folders: Sequence[str]) -> tuple[Any, ...]:
    """(path, time written, size) of the files, and of all under the folders."""
    paths = [Path(file) for file in files]
    paths += [path for folder in folders for path in sorted(Path(folder).rglob("*"))]
    known = [(path, path.stat()) for path in paths if path.is_file()]
    return tuple((str(path), stat.st_mtime_ns, stat.st_size) for path, stat in known)


def task_value(lm: Any, suite: BuiltSuite, spec: ValidationTask, like: Checkpoint) -> Measured:
    """The metric of ``lm`` on the validation task; ``like`` describes its tokenizer.

    Raises ``ScoringError`` where the task fails or gives no such number.
    """
    from steelyard.harness.evaluation.evaluate import evaluate

    evaluation = evaluate(lm, suite, checkpoint=like)
    for failure in evaluation.failures:
        raise ScoringError(f"{failure.stage}: {failure.message}")
    scores = {score.metric: score for score in evaluation.scores}
    wanted = spec.metric or next((m for m, s in scores.items() if s.primary), next(iter(scores)))
    if wanted not in scores:
        fix = did_you_mean(wanted, scores)
        raise ConfigError(f"task '{spec.task}' has no metric '{wanted}'", fix=fix)
    score = scores[wanted]
    if score.value is None or not math.isfinite(score.value):
        raise ScoringError(f"{spec.task}: {wanted} has no value on {score.n} items")
    return Measured(score.value, f"{spec.task} {wanted}", score.higher_is_better)


def held_out_loss(lm: Any, sources: Sequence[DataSource]) -> Measured:
    """Nats per completion byte of held-out data (prompt, completion), by the scorer.

    Per byte, so that a longer tokenisation does not look like knowledge.
    """
    from lm_eval.api.instance import Instance

    from steelyard.harness.data import read_mix

    rows = read_mix(sources, ("prompt", "completion"), seed=0)
    pairs = [(str(row["prompt"]), str(row["completion"])) for row in rows]
    requests = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(pairs)]
    nats = -sum(answer[0] for answer in lm.loglikelihood(requests))
    size = sum(len(completion.encode()) for _, completion in pairs)
    return Measured(nats / size, f"loss per byte of {', '.join(s.name for s in sources)}", False)


def check_choices(experiment: Experiment) -> None:
    """Find a validation task that does not exist before hours of training, not after.

    Raises ``UnknownNameError`` or ``ConfigError``.
    """
    from steelyard.harness.suites import load_suite

    for candidate in experiment.candidates:
        for spec in _specs_of(candidate):
            mapping = {"include": list(spec.include), "tasks": [str(spec.task)]}
            load_suite(mapping, folder=experiment.folder)


def _specs_of(candidate: Candidate) -> list[ValidationTask]:
    """Where the candidate's training or selection asks a task."""
    trainer: Any = getattr(candidate.trainer, "inner", candidate.trainer)
    specs = [getattr(trainer, "early_stop", None)]
    specs += [trainer] if candidate.trainer_name == "select" else []
    return [spec for spec in specs if spec is not None and spec.task is not None]


def selection_notes(experiment: Experiment) -> tuple[str, ...]:
    """What a reader of the report must know: choices that were made on the suite's own items."""
    chosen: dict[str, list[str]] = {}
    for name, task in _chosen_on(experiment):
        chosen.setdefault(task, []).append(name)
    if not chosen:
        return ()
    suite = _suite_tasks(experiment)
    rules = _gate_patterns(experiment.settings.gate)
    found = []
    for task, names in chosen.items():
        if any(fnmatchcase(task, pattern) for pattern in rules):
            found.append(
                f"Selected on {task}, on which the gate holds a rule: {', '.join(names)}. "
                "Scores there are flattered, and a pass on them is no evidence."
            )
        elif task in suite:
            found.append(
                f"Selected on {task}, which the suite scores too: {', '.join(names)}. "
                "Scores there are flattered."
            )
    return tuple(found)


def _chosen_on(experiment: Experiment) -> Iterator[tuple[str, str]]:
    """(candidate, task) for every choice; a child of a chosen one inherits it."""
    own: dict[str, set[str]] = {}
    for candidate in experiment.candidates:
        tasks = {str(spec.task) for spec in _specs_of(candidate)}
        for parent in experiment.graph[candidate.name]:
            tasks |= own.get(parent, set())
        own[candidate.name] = tasks
        if candidate.scored:
            yield from ((candidate.name, task) for task in sorted(tasks))


def _gate_patterns(gate: Mapping[str, Any] | None) -> list[str]:
    rules = (gate or {}).get("rules") or ()
    return [str(rule["task"]) for rule in rules if isinstance(rule, Mapping) and rule.get("task")]


def _suite_tasks(experiment: Experiment) -> set[str]:
    from steelyard.harness.suites import load_suite

    settings = experiment.settings
    return {task.task for task in load_suite(settings.suite, folder=experiment.folder).tasks}
