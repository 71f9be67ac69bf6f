"""A run with its rows and samples, from the store or from a baseline file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from steelyard.harness.records import Rows, Run, SampleRecord, Score
from steelyard.harness.store import Store

RowKey = tuple[str, str]
"""(task, metric)"""
SampleKey = tuple[str, str]
"""(task, sample id)"""


@dataclass(frozen=True)
class Scored:
    """A run, its rows by (task, metric), and its samples where they are at hand.

    ``samples`` is None where no texts or slices are known, as in a baseline file without text.
    """

    run: Run
    rows: Mapping[RowKey, Rows]
    samples: Mapping[SampleKey, SampleRecord] | None = None

    @classmethod
    def from_store(cls, store: Store, id: str) -> Scored:
        """The run ``id``, read one task at a time as its rows and samples are asked for."""
        run = store.get(id)
        return cls(run, _RowsOnDemand(store, run), _SamplesOnDemand(store, run))

    @property
    def name(self) -> str:
        """The candidate's name."""
        return self.run.candidate

    @cached_property
    def tasks(self) -> tuple[str, ...]:
        """Tasks that carry a score or a row, in the run's order."""
        scored = [score.task for score in self.run.scores]
        return tuple(dict.fromkeys([*scored, *(task for task, _ in self.rows)]))

    def scores_of(self, task: str) -> Mapping[str, Score]:
        """The scores of one task by metric, in the run's order."""
        return self._scores.get(task, {})

    @cached_property
    def _scores(self) -> Mapping[str, Mapping[str, Score]]:
        grouped: dict[str, dict[str, Score]] = {}
        for score in self.run.scores:
            grouped.setdefault(score.task, {})[score.metric] = score
        return grouped

    def samples_of(self, task: str) -> Mapping[str, SampleRecord]:
        """The task's samples by id; empty where the run has none."""
        if self.samples is None:
            return {}
        if isinstance(self.samples, _SamplesOnDemand):
            return self.samples.of(task)
        return self._samples.get(task, {})

    @cached_property
    def _samples(self) -> Mapping[str, Mapping[str, SampleRecord]]:
        grouped: dict[str, dict[str, SampleRecord]] = {}
        for (task, id), sample in (self.samples or {}).items():
            grouped.setdefault(task, {})[id] = sample
        return grouped


@dataclass
class _RowsOnDemand(Mapping[RowKey, Rows]):
    """Rows of one task at a time, so that fifty runs side by side stay small."""

    store: Store
    run: Run
    _task: str | None = None
    _held: dict[RowKey, Rows] = field(default_factory=dict)

    def __getitem__(self, key: RowKey) -> Rows:
        if key[0] != self._task:
            self._held = {(r.task, r.metric): r for r in self.store.rows(self.run.id, key[0])}
            self._task = key[0]
        return self._held[key]

    def __iter__(self) -> Iterator[RowKey]:
        # Every score has rows unless it was imported as a bare number; rows that no score
        # names would be a damaged run, and the comparison reads by score.
        return iter([(score.task, score.metric) for score in self.run.scores])

    def __len__(self) -> int:
        return len(self.run.scores)


@dataclass
class _SamplesOnDemand(Mapping[SampleKey, SampleRecord]):
    """Samples of one task at a time."""

    store: Store
    run: Run
    _task: str | None = None
    _held: dict[str, SampleRecord] = field(default_factory=dict)

    def of(self, task: str) -> Mapping[str, SampleRecord]:
        if task != self._task:
            self._held = {s.sample_id: s for s in self.store.samples(self.run.id, task)}
            self._task = task
        return self._held

    def __getitem__(self, key: SampleKey) -> SampleRecord:
        return self.of(key[0])[key[1]]

    def __iter__(self) -> Iterator[SampleKey]:
        for task in dict.fromkeys(score.task for score in self.run.scores):
            yield from ((task, id) for id in self.of(task))

    def __len__(self) -> int:
        return sum(1 for _ in self)
