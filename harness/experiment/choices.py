"""Candidates that choose among others by a score on validation data, checked before a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from steelyard.harness.experiment.file import Candidate, Experiment


class ValidationTask(BaseModel):
    """A task on which a choice is made; lower or higher is better as the metric says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str | None = Field(None, description="A task of a suite; its metric decides.")
    metric: str | None = Field(None, description="None takes the task's primary metric.")
    limit: int | None = Field(100, ge=1, description="Items of the task, the same every time.")
    include: tuple[str, ...] = Field((), description="Folders with task YAMLs of your own.")


def check_choices(experiment: Experiment) -> None:
    """Find a validation task that does not exist before hours of training, not after.

    Raises ``UnknownNameError`` or ``ConfigError``.
    """
    from steelyard.harness.suites.suite import load_suite

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
    from steelyard.harness.suites.suite import load_suite

    settings = experiment.settings
    return {task.task for task in load_suite(settings.suite, folder=experiment.folder).tasks}
