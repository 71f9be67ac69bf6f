"""Experiment -> runs, idempotent: what is done and unchanged is not done again.

The experiment becomes a graph of stages, an executor carries them out, and what they came to is
read from the store. Each stage's result is adopted by the store in one rename, so that a process
killed anywhere leaves either the whole stage or none of it, and the next call does only what is
missing, with the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from steelyard.harness.experiment import BASE, Experiment
from steelyard.harness.pipeline.events import Event, Listener, no_listener
from steelyard.harness.pipeline.executors.inline import Inline
from steelyard.harness.pipeline.graph import plan
from steelyard.harness.pipeline.settling import Settling
from steelyard.harness.pipeline.stage import Stage, StageOutcome
from steelyard.harness.pipeline.worker import Worker
from steelyard.harness.records import Checkpoint, Failure, Run, stage_name

if TYPE_CHECKING:
    from steelyard.harness.pipeline.executors.executor import Executor
    from steelyard.harness.plugins import Meter
    from steelyard.harness.store import Attempt, FolderStore


@dataclass
class Outcome:
    """What an experiment came to: a run for each scored candidate, and what failed."""

    checkpoints: dict[str, Checkpoint] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    unexpected: bool = False
    """Whether something failed that is no mistake of the user's."""


@dataclass
class Pipeline:
    """Carries one experiment through training and scoring."""

    experiment: Experiment
    store: FolderStore
    meter: Callable[[], Meter]
    """Opened on first use, because starting a meter takes seconds."""
    listener: Listener = no_listener
    executor: Executor = field(default_factory=Inline)
    attempt: Attempt | None = None
    """Told what each candidate came to; None: one is begun with the first stage."""

    def run(self, only: Sequence[str] = ()) -> Outcome:
        """Train and score every candidate (or ``only`` these and their ancestors)."""
        return self._carried_out(plan(self.experiment, only))

    def train(self, only: Sequence[str] = ()) -> Outcome:
        """Train what is missing; a failed candidate does not stop those that do not need it."""
        return self._carried_out(plan(self.experiment, only, scoring=False))

    @contextmanager
    def _settling(self, stages: Sequence[Stage], worker: Worker) -> Iterator[Settling]:
        """What tells the store which run of each candidate is current."""
        scored = {stage.candidate for stage in stages if stage.kind == "score"}
        if self.attempt is not None:
            yield Settling(self.attempt, worker, scored)
            return
        names = {stage.candidate for stage in stages}
        with self.store.current.attempt(self.experiment.name, sorted(names)) as attempt:
            yield Settling(attempt, worker, scored)

    def _carried_out(self, stages: Sequence[Stage]) -> Outcome:
        worker = Worker(self.experiment, self.store, self.meter, self.listener)
        base = worker.checkpoints.base  # without it nothing can begin: its error is the caller's
        by_name = {stage.name: stage for stage in stages}
        ended: dict[str, StageOutcome] = {}
        name = f"run {self.experiment.name}"
        where = type(self.executor).__name__.lower()
        self.store.logs.event(f"{name}: start, {len(stages)} stages, executor {where}")
        with self._settling(stages, worker) as settling:
            for ending in self.executor.run(stages, worker):
                lacking = [by_name[name].candidate for name in ending.failed]
                stage = by_name[ending.stage]
                ended[ending.stage] = self._explained(stage, ending, lacking, worker)
                settling.ended(stage, ended[ending.stage])
        # A start without an end is a driver that was killed.
        failed = sum(ending.status == "failed" for ending in ended.values())
        self.store.logs.event(f"{name}: end, {failed} failed")
        outcome = Outcome(checkpoints={BASE: base})
        for stage in stages:  # in the order of the file, whatever the order in which they ended
            self._collect(stage, ended[stage.name], outcome, worker)
        return outcome

    def _explained(
        self, stage: Stage, ended: StageOutcome, lacking: Sequence[str], worker: Worker
    ) -> StageOutcome:
        """A training that lacked its parent or a source says which one of ``lacking`` failed."""
        if stage.kind != "train" or not lacking:
            return ended
        parent = self.experiment.candidate(stage.candidate).parent
        what = "parent" if parent in lacking else "source"
        failed = parent if what == "parent" else ", ".join(sorted(lacking))
        message = f"its {what} '{failed}' failed"
        worker.tell(Event("train", stage.candidate, "skipped", message))
        return StageOutcome(ended.stage, "skipped", message=message, failed=ended.failed)

    def _collect(self, stage: Stage, ended: StageOutcome, outcome: Outcome, worker: Worker) -> None:
        """Read from the store what a stage came to, or note that it failed."""
        if ended.status == "done" and ended.reference is not None:
            if stage.kind == "train":
                checkpoint = worker.checkpoints.adopted(ended.reference, stage.candidate)
                if checkpoint is not None:
                    outcome.checkpoints[stage.candidate] = checkpoint
            else:
                outcome.runs[stage.candidate] = self.store.get(ended.reference)
        # What is scored of a candidate that failed is not missing twice.
        elif ended.status == "failed" or (stage.kind == "train" and ended.status == "skipped"):
            kind = "train" if stage.kind == "train" else "score"
            failure = Failure(stage=stage_name(kind, stage.candidate), message=ended.message)
            outcome.unexpected |= ended.unexpected
            if failure not in outcome.failures:
                outcome.failures.append(failure)
