"""Stages in several processes of this machine: one a GPU, or one a share of the cores.

Workers are not forked from the driver: that would copy torch's threads' locks and a GPU's context.
They come from :mod:`steelyard.harness.pipeline.executors.starting`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from multiprocessing import connection
from typing import TYPE_CHECKING

from pydantic import Field

from steelyard.harness.pipeline.events import Event
from steelyard.harness.pipeline.executors.machine import Machine, Shares, this_machine
from steelyard.harness.pipeline.executors.process import NotOpened, why_lost
from steelyard.harness.pipeline.executors.schedule import Schedule, lost
from steelyard.harness.pipeline.executors.starting import context_for, start
from steelyard.harness.pipeline.stage import Stage, StageOutcome
from steelyard.harness.plugins import Plugin

if TYPE_CHECKING:
    from steelyard.harness.pipeline.executors.starting import Context
    from steelyard.harness.pipeline.worker import Worker

#: How long idle workers are given to leave by themselves at the end.
LEAVE_SECONDS = 5.0


class Local(Plugin):
    """Worker processes on this machine; a stage whose worker dies or hangs is tried again."""

    workers: int | None = Field(
        None,
        ge=1,
        description="Most stages at a time; left out: one a GPU, else one for each two cores.",
    )

    def run(self, stages: Iterable[Stage], worker: Worker) -> Iterator[StageOutcome]:
        """Carry the stages out, those first that come first and find room."""
        machine = this_machine()
        count = self.workers or len(machine.gpus) or max(1, machine.cores // 2)
        running = _Running(Schedule(stages), machine, count, worker)
        try:
            yield from running.outcomes()
        finally:
            running.stop()


class _Process:
    """One worker process, and the stage that it is at."""

    def __init__(
        self, worker: Worker, context: Context, threads: int, gpus: tuple[str, ...], shared: bool
    ) -> None:
        self.gpus = gpus
        self.threads = threads
        self.stage: Stage | None = None
        self.deadline: float | None = None
        self.pipe, self.process = start(
            context, worker.place, threads=threads, gpus=gpus, shared=shared
        )

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return bool(self.process.is_alive())

    def begin(self, stage: Stage, worker: Worker) -> None:
        """Send a stage."""
        self.stage = stage
        with suppress(BrokenPipeError):  # it died idle: its pipe, which is listened to, tells
            self.pipe.send((stage, worker.log_path(stage), self.threads))

    def begun(self) -> None:
        """It has opened what it needs and begins: the stage's time runs from here."""
        assert self.stage is not None, "only a stage that was sent begins"
        minutes = self.stage.resources.timeout_minutes
        self.deadline = None if minutes is None else time.monotonic() + 60 * minutes

    def kill(self) -> None:
        """End it at once; the store loses nothing by it."""
        self.process.kill()
        self.process.join()
        self.pipe.close()


class _Running:
    """A run under way: the schedule, the processes, and who holds what."""

    def __init__(self, schedule: Schedule, machine: Machine, count: int, worker: Worker) -> None:
        self.schedule = schedule
        self.shares = Shares(machine, count)
        self.worker = worker
        self.context = context_for(machine, self.shares.threads)
        self.processes: list[_Process] = []

    def outcomes(self) -> Iterator[StageOutcome]:
        while self.schedule.left:
            yield from self._begin()
            patience = self._patience()
            busy = [process.pipe for process in self.processes if process.stage]
            if not busy and patience is None:
                continue  # nothing runs and nothing rests: what was left could not be begun
            waited = connection.wait(busy, patience)
            for process in [p for p in self.processes if p.pipe in waited]:
                yield from self._heard(process)
            now = time.monotonic()
            for process in [p for p in self.processes if p.deadline and now >= p.deadline]:
                assert process.stage is not None, "an idle worker has no deadline"
                minutes = process.stage.resources.timeout_minutes
                process.kill()
                yield from self._lost(process, f"it took longer than {minutes:g} minutes")

    def stop(self) -> None:
        """No process outlives the run: idle ones leave, others are ended."""
        for process in self.processes:
            if process.stage is None:
                process.pipe.close()
        until = time.monotonic() + LEAVE_SECONDS
        for process in self.processes:
            if process.stage is None:
                process.process.join(max(0.0, until - time.monotonic()))
            process.kill()
        self.processes.clear()

    def _begin(self) -> Iterator[StageOutcome]:
        """Start every stage that finds room; one that never could is a failure."""
        while not self.shares.full and (stage := self.schedule.take(self._fits)):
            lacks = self.shares.machine.lacks(stage.resources)
            if lacks is not None:
                self.worker.tell(stage.event("failed", lacks))
                failed = StageOutcome(stage.name, "failed", message=lacks)
                yield from self.schedule.ended(failed)
                continue
            gpus = self.shares.hold(stage.name, stage.resources)
            self._process(gpus).begin(stage, self.worker)

    def _fits(self, stage: Stage) -> bool:
        if self.shares.machine.lacks(stage.resources) is not None:
            return True
        return self.shares.fits(stage.resources)

    def _process(self, gpus: tuple[str, ...]) -> _Process:
        """An idle worker with these GPUs, else a new one: CUDA's devices are fixed at its start."""
        for process in [p for p in self.processes if p.stage is None and not p.alive]:
            process.kill()
            self.processes.remove(process)
        idle = [process for process in self.processes if process.stage is None]
        for process in idle:
            if process.gpus == gpus:
                return process
        if len(self.processes) >= self.shares.workers:
            idle[0].kill()
            self.processes.remove(idle[0])
        shared = self.shares.workers > 1
        process = _Process(self.worker, self.context, self.shares.threads, gpus, shared)
        self.processes.append(process)
        return process

    def _patience(self) -> float | None:
        """Until a deadline passes or a busy stage may be asked for again; None: for ever."""
        now = time.monotonic()
        waits = [max(0.0, p.deadline - now) for p in self.processes if p.deadline]
        rest = self.schedule.rest_seconds()
        return min(waits if rest is None else [*waits, rest], default=None)

    def _heard(self, process: _Process) -> Iterator[StageOutcome]:
        assert process.stage is not None, "only workers at a stage are listened to"
        try:
            message = process.pipe.recv()
        except (EOFError, OSError):
            process.process.join()
            why = why_lost(process.process.exitcode, process.stage)
            yield from self._lost(process, why)
            return
        if isinstance(message, Event):
            self.worker.listener(message)
            return
        if isinstance(message, str):
            process.begun()
            return
        stage = process.stage
        self.shares.free(stage.name)
        process.stage = process.deadline = None
        if isinstance(message, NotOpened):
            self.worker.tell(stage.event("failed", message.message))
            message = StageOutcome(
                stage.name, "failed", message=message.message, unexpected=message.unexpected
            )
        yield from self.schedule.ended(message)

    def _lost(self, process: _Process, why: str) -> Iterator[StageOutcome]:
        stage = process.stage
        assert stage is not None, "an idle worker takes nothing with it"
        process.kill()
        self.processes.remove(process)
        self.shares.free(stage.name)
        yield from lost(self.schedule, self.worker, stage, why)
