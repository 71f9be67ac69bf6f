"""Why a number may not be compared: one line each, and what it touches."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Cause = Literal["run", "signature", "rows", "reference"]
"""``run``: the whole run; ``signature``: scored under other conditions; ``rows``: lost evidence;
``reference``: measured against another model, so the two numbers never were about one thing. That
is no fault of either run: it voids the number and nothing else."""


@dataclass(frozen=True)
class Problem:
    """One reason why numbers may not be compared.

    ``task`` None: every task; ``metric`` None: every metric of the task.
    """

    cause: Cause
    text: str
    task: str | None = None
    metric: str | None = None

    def touches(self, task: str, metric: str) -> bool:
        """Whether ``metric`` of ``task`` may not be compared because of this."""
        return self.task in (None, task) and self.metric in (None, metric)


def lines(problems: Iterable[Problem]) -> tuple[str, ...]:
    """One line a finding: metrics of one task that share it share its line."""
    metrics: dict[tuple[str | None, str], list[str]] = {}
    for problem in problems:
        named = metrics.setdefault((problem.task, problem.text), [])
        if problem.metric is not None and problem.metric not in named:
            named.append(problem.metric)
    return tuple(_problem_line(task, text, named) for (task, text), named in metrics.items())


def _problem_line(task: str | None, text: str, metrics: list[str]) -> str:
    if task is None:
        return text
    return f"{task}: {', '.join(metrics)}: {text}" if metrics else f"{task}: {text}"
