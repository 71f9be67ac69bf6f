"""Carries out stages of one experiment, one at a time, in one process."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from steelyard.harness.checkpoints import is_reward_model, trust_python
from steelyard.harness.energy import EnergyConfig, SharedMeter, open_meter
from steelyard.harness.environment import silence_libraries, use_threads
from steelyard.harness.errors import STOPPING, SteelyardError, StoreError, is_foreseen
from steelyard.harness.experiment import BASE, Experiment
from steelyard.harness.files import redacted
from steelyard.harness.pipeline.events import Event, Listener
from steelyard.harness.pipeline.stage import Stage, StageBusyError, StageOutcome
from steelyard.harness.pipeline.train import Checkpoints
from steelyard.harness.plugins import Meter
from steelyard.harness.store import FolderStore, open_store

if TYPE_CHECKING:
    from steelyard.harness.pipeline.score import ScoreStage


@dataclass(frozen=True)
class Workplace:
    """Where stages are carried out: a plain value, from which any process opens a worker."""

    experiment: Experiment
    workspace: str
    """What ``open_store`` opens; a database's address, which may hold a password, is no part of
    it: workers find it where the driver does, in the environment."""

    def open(self, listener: Listener) -> Worker:
        """A worker in this process, with a meter of its own."""
        silence_libraries()
        config = EnergyConfig.model_validate(dict(self.experiment.settings.energy))
        opened: list[Meter] = []

        def meter() -> Meter:
            if not opened:
                opened.append(open_meter(config))
            return opened[0]

        return Worker(self.experiment, open_store(Path(self.workspace)), meter, listener)


class Worker:
    """Knows one experiment and its store; keeps the built suite and opened models between stages.

    Args:
        experiment: whose stages these are.
        store: where results are found and left.
        meter: opened on first use, because starting a meter takes seconds.
        listener: told what happens; the workspace's log of events is told too.
    """

    def __init__(
        self,
        experiment: Experiment,
        store: FolderStore,
        meter: Callable[[], Meter],
        listener: Listener,
    ) -> None:
        trust_python(experiment.settings.trust_remote_code)
        self.experiment = experiment
        self.store = store
        self._meter = meter
        self.listener = listener
        self.logged = False
        """Whether this process's output goes to the stage's log, and a traceback with it."""
        self.shared = False
        """Whether other stages may run on this machine at the same time."""
        self._gpu_shared = False
        self._waiting: set[str] = set()
        self.checkpoints = Checkpoints(experiment, store, self.meter, self.tell)
        self._scoring: ScoreStage | None = None

    @property
    def place(self) -> Workplace:
        """From which another process opens a worker like this one."""
        return Workplace(self.experiment, str(self.store.workspace))

    @property
    def scoring(self) -> ScoreStage:
        """Scores checkpoints; its suite is built once and its models stay open."""
        if self._scoring is None:
            # Loads pandas and scipy, which a process that only hands stages on must not.
            from steelyard.harness.pipeline.score import ScoreStage

            self._scoring = ScoreStage(self.experiment, self.store, self.meter, self.tell)
        return self._scoring

    def meter(self) -> Meter:
        """This process's meter; where others use the machine too, for its share alone."""
        if not self.shared:
            return self._meter()
        return SharedMeter(self._meter(), gpu_shared=self._gpu_shared)

    def tell(self, event: Event) -> None:
        """Pass an event on; all but progress stands in the log of events too."""
        if event.status != "progress":
            self.store.logs.event(
                f"{event.stage} {event.candidate}: {event.status} {event.message}"
            )
        self.listener(event)

    def carry_out(self, stage: Stage, threads: int | None = None) -> StageOutcome:
        """Do what is missing of a stage; a failure is an outcome, with its traceback in the log.

        ``threads`` is this worker's share of the cores; the stage's own ``cpus`` come first.
        """
        use_threads(stage.resources.cpus or threads)
        self._gpu_shared = 0 < (stage.resources.gpus or 0) < 1
        try:
            return self._carried_out(stage)
        except StageBusyError as busy:
            if stage.name not in self._waiting:
                self._waiting.add(stage.name)
                self.tell(stage.event("waiting", str(busy)))
            return StageOutcome(stage.name, "busy", message=str(busy))
        except STOPPING:
            raise
        except BaseException as error:  # a panic of a library in Rust is no Exception
            message = self._explained(stage, error)
            self.tell(stage.event("failed", message))
            unexpected = not is_foreseen(error)
            return StageOutcome(stage.name, "failed", message=message, unexpected=unexpected)

    def _carried_out(self, stage: Stage) -> StageOutcome:
        name = stage.candidate
        if stage.kind == "train":
            return StageOutcome(stage.name, "done", self.checkpoints.train(name))
        checkpoint = self.checkpoints.checkpoint(name)
        if is_reward_model(checkpoint):
            message = "it gives rewards, not text"
            if stage.kind == "shard":
                return StageOutcome(stage.name, "done")
            self.tell(Event("score", name, "skipped", message))
            return StageOutcome(stage.name, "skipped", message=message)
        parent_name = None if name == BASE else self.experiment.candidate(name).parent
        parent = self.checkpoints.checkpoint(parent_name) if parent_name else None
        if stage.kind == "shard":
            self.scoring.fill(name, checkpoint, parent, stage.share)
            return StageOutcome(stage.name, "done")
        run = self.scoring.score(name, checkpoint, parent, self.checkpoints.inherited(name))
        return StageOutcome(stage.name, "done", run.id)

    def _explained(self, stage: Stage, error: BaseException) -> str:
        """One line for people; what is no mistake of the user's leaves its traceback in the log."""
        if isinstance(error, SteelyardError):
            return redacted(str(error))
        message = redacted(f"{type(error).__name__}: {error}")
        if self.logged:
            traceback.print_exc()
        else:
            try:
                self.store.logs.write(stage.log, traceback.format_exc())
            except StoreError:  # the disk may be full, which may be why it failed
                return message
        return f"{message} (traceback in {self.log_path(stage).name})"

    def log_path(self, stage: Stage) -> Path:
        """Where a stage's output or its traceback is kept."""
        return self.store.logs.path(stage.log)
