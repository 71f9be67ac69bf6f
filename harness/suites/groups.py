"""Groups of tasks with a score of their own, as lm-eval's YAML defines them.

    group: town
    task: [town_harbour, town_garden]              # tasks, tags and groups, which may be nested
    aggregate_metric_list: [{metric: acc, aggregation: mean, weight_by_size: true}]

A group's score is the mean of its tasks' scores, however deep they stand, each weighted by its
documents (``weight_by_size``) or all alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from steelyard.harness.errors import ConfigError
from steelyard.harness.files import digest_json

if TYPE_CHECKING:
    from lm_eval.api.group import Group


@dataclass(frozen=True)
class GroupMetric:
    """One entry of a group's ``aggregate_metric_list``."""

    metric: str
    filters: tuple[str, ...] | None
    """The filters behind which it is taken; None: every one that the group's tasks have."""
    by_size: bool
    """Whether a task counts as often as it has documents; else all tasks count alike."""


@dataclass(frozen=True)
class BuiltGroup:
    """A group that has a score, with the tasks that it is made of."""

    name: str
    tasks: tuple[str, ...]
    """Every task below it, those of its groups included."""
    metrics: tuple[GroupMetric, ...]

    @property
    def digest(self) -> str:
        """What the score is made of, besides what its tasks are."""
        metrics = [[m.metric, m.filters, m.by_size] for m in self.metrics]
        return digest_json([sorted(self.tasks), metrics])


def built_groups(groups: Mapping[str, Group]) -> list[BuiltGroup]:
    """The groups that lm-eval built and that have a score.

    Raises ``ConfigError`` for an aggregation that is no mean: lm-eval takes the mean all the same.
    """
    return [_built(name, group) for name, group in groups.items() if group.aggregate_metric_list]


def _built(name: str, group: Group) -> BuiltGroup:
    metrics = []
    for entry in group.aggregate_metric_list or ():
        if entry.aggregation != "mean":
            raise ConfigError(
                f"group '{name}' aggregates {entry.metric} by a function, never called",
                key="aggregate_metric_list.aggregation",
                fix="write aggregation: mean, and let the tasks' own metrics do the rest",
            )
        filters = None if entry.filter_list is None else tuple(entry.filter_list)
        metrics.append(GroupMetric(entry.metric, filters, bool(entry.weight_by_size)))
    tasks = dict.fromkeys(task.task_name for task in group.get_all_tasks())
    return BuiltGroup(name, tuple(tasks), tuple(metrics))
