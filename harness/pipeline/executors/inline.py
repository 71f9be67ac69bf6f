"""Stages one after another in this process: the default, and what the others are held against."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from steelyard.harness.pipeline.executors.schedule import Schedule
from steelyard.harness.pipeline.stage import Stage, StageOutcome
from steelyard.harness.pipeline.worker import Worker
from steelyard.harness.plugins import Plugin


class Inline(Plugin):
    """No other process: models and the built suite stay open between stages."""

    def run(self, stages: Iterable[Stage], worker: Worker) -> Iterator[StageOutcome]:
        """Carry the stages out in the order given."""
        schedule = Schedule(stages)
        while schedule.left:
            stage = schedule.take()
            if stage is None:  # all that is left is under way in other processes
                time.sleep(schedule.rest_seconds() or 0.0)
                continue
            yield from schedule.ended(worker.carry_out(stage))
