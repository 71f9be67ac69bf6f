"""Which stage may start: the graph's bookkeeping, the same for every executor.

Linear in stages and edges over a whole run, so that ten thousand stages cost milliseconds.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from steelyard.harness.pipeline.stage import Stage, StageOutcome

if TYPE_CHECKING:
    from steelyard.harness.pipeline.worker import Worker

#: A stage whose worker was lost is tried so often in all.
MOST_ATTEMPTS = 3
#: How long to leave a stage alone that another process is carrying out.
BUSY_SECONDS = 0.5


def lost(schedule: Schedule, worker: Worker, stage: Stage, why: str) -> list[StageOutcome]:
    """A stage whose worker is gone is tried again, or has failed; either way it is told."""
    attempt = schedule.attempt(stage.name)
    ended = schedule.lost(stage.name, why)
    if ended:
        worker.tell(stage.event("failed", ended[0].message))
    else:
        message = f"{why}; attempt {attempt + 1} of {schedule.attempts}"
        worker.tell(stage.event("again", message))
    return ended


class Schedule:
    """Stages that wait, are ready, run, or have ended.

    Args:
        stages: each after those that it names in ``after``; what they name is among them.
        attempts: how often a stage is started before its lost workers make it a failure.
        clock: seconds, for the pauses of busy stages.
    """

    def __init__(
        self,
        stages: Iterable[Stage],
        attempts: int = MOST_ATTEMPTS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stages = list(stages)
        self.attempts = attempts
        self._clock = clock
        self._place = {stage.name: place for place, stage in enumerate(self._stages)}
        self._missing = [len(set(stage.after)) for stage in self._stages]
        self._followers: list[list[int]] = [[] for _ in self._stages]
        for place, stage in enumerate(self._stages):
            for name in set(stage.after):
                self._followers[self._place[name]].append(place)
        self._ready = [place for place, missing in enumerate(self._missing) if missing == 0]
        heapq.heapify(self._ready)
        self._resting: list[tuple[float, int]] = []
        self._started = [0] * len(self._stages)
        self._failed: list[list[str]] = [[] for _ in self._stages]
        self.left = len(self._stages)
        """Stages that have not ended."""

    def take(self, fits: Callable[[Stage], bool] = lambda stage: True) -> Stage | None:
        """Start the first ready stage, in the order given, that ``fits``; None: there is none."""
        self._wake()
        passed = []
        taken = None
        while self._ready:
            place = heapq.heappop(self._ready)
            if fits(self._stages[place]):
                taken = self._stages[place]
                self._started[place] += 1
                break
            passed.append(place)
        for place in passed:
            heapq.heappush(self._ready, place)
        return taken

    def attempt(self, name: str) -> int:
        """How often the stage has been started."""
        return self._started[self._place[name]]

    def rest_seconds(self) -> float | None:
        """Until the next busy stage may be asked again; None where none is."""
        return max(0.0, self._resting[0][0] - self._clock()) if self._resting else None

    def ended(self, outcome: StageOutcome) -> list[StageOutcome]:
        """Note how a stage ended: what has ended with it, itself first.

        A stage that needs one which failed or was skipped is skipped once all that it needs have
        ended. A busy one has not ended: it is ready again after a pause.
        """
        place = self._place[outcome.stage]
        if outcome.status == "busy":
            self._started[place] -= 1
            heapq.heappush(self._resting, (self._clock() + BUSY_SECONDS, place))
            return []
        ended = [outcome]
        for last in ended:  # grows
            self.left -= 1
            for follower in self._followers[self._place[last.stage]]:
                self._missing[follower] -= 1
                if last.status != "done":
                    self._failed[follower].append(last.stage)
                if self._missing[follower] > 0:
                    continue
                if self._failed[follower]:
                    stage = self._stages[follower]
                    lacking = tuple(name for name in stage.after if name in self._failed[follower])
                    ended.append(StageOutcome(stage.name, "skipped", failed=lacking))
                else:
                    heapq.heappush(self._ready, follower)
        return ended

    def lost(self, name: str, why: str) -> list[StageOutcome]:
        """A stage whose worker is gone: ready again, or, after its last attempt, a failure."""
        place = self._place[name]
        if self._started[place] < self.attempts:
            heapq.heappush(self._ready, place)
            return []
        message = f"{why}, {self._started[place]} times"
        return self.ended(StageOutcome(name, "failed", message=message, unexpected=True))

    def _wake(self) -> None:
        now = self._clock()
        while self._resting and self._resting[0][0] <= now:
            heapq.heappush(self._ready, heapq.heappop(self._resting)[1])
