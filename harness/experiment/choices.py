"""Which candidates were chosen by scores on the suite's own items, for a reader of the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from steelyard.harness.experiment.file import Experiment
from steelyard.harness.suites import load_suite
from steelyard.harness.texts import matches


def selection_notes(experiment: Experiment) -> tuple[str, ...]:
    """What a reader of the report must know: choices that were made on the suite's own items."""
    chosen: dict[str, list[str]] = {}
    for name, task in _chosen_on(experiment):
        chosen.setdefault(task, []).append(name)
    if not chosen:
        return ()
    suite = _suite_tasks(experiment)
    rules = _gate_patterns(experiment.settings.gate)
    notes = []
    for task, names in chosen.items():
        if any(matches(pattern, task) for pattern in rules):
            notes.append(
                f"Selected on {task}, on which the gate holds a rule: {', '.join(names)}. "
                "Scores there are flattered, and a pass on them is no evidence."
            )
        elif task in suite:
            notes.append(
                f"Selected on {task}, which the suite scores too: {', '.join(names)}. "
                "Scores there are flattered."
            )
    return tuple(notes)


def _chosen_on(experiment: Experiment) -> Iterator[tuple[str, str]]:
    """(candidate, task) for every choice; a child of a chosen one inherits it."""
    own: dict[str, set[str]] = {}
    for candidate in experiment.candidates:
        tasks = {str(spec.task) for spec in candidate.trainer.inner.validation_tasks}
        for parent in experiment.graph[candidate.name]:
            tasks |= own.get(parent, set())
        own[candidate.name] = tasks
        if candidate.scored:
            yield from ((candidate.name, task) for task in sorted(tasks))


def _gate_patterns(gate: Mapping[str, object] | None) -> list[str]:
    rules = (gate or {}).get("rules")
    patterns = (
        [rule.get("task") for rule in rules if isinstance(rule, Mapping)]
        if isinstance(rules, list | tuple)
        else []
    )
    return [str(pattern) for pattern in patterns if pattern]


def _suite_tasks(experiment: Experiment) -> set[str]:
    settings = experiment.settings
    return {task.task for task in load_suite(settings.suite, folder=experiment.folder).tasks}
