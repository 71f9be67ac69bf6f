"""In a Ray worker: the process that carries out its stages.

A Ray worker has threads of its own from its first line, so nothing may be forked from it: not the
process that checks checkpoints, which would have to import the libraries once more. It imports
none of them; its stages go to a process that starts as the workers of ``local`` do.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING

from steelyard.harness.errors import SteelyardError
from steelyard.harness.pipeline.events import Event
from steelyard.harness.pipeline.executors.machine import this_machine
from steelyard.harness.pipeline.executors.process import NotOpened, why_lost
from steelyard.harness.pipeline.executors.starting import context_for, start
from steelyard.harness.pipeline.stage import Stage, StageOutcome

if TYPE_CHECKING:
    from steelyard.harness.pipeline.worker import Workplace


class WorkerLostError(SteelyardError):
    """The process that a stage was carried out in ended before the stage did."""


class WorkerNotOpenedError(SteelyardError):
    """The process has not what its stage needs."""

    def __init__(self, message: str, unexpected: bool) -> None:
        super().__init__(message)
        self.unexpected = unexpected

    def __reduce__(self) -> tuple[type[WorkerNotOpenedError], tuple[str, bool]]:
        return WorkerNotOpenedError, (self.message, self.unexpected)


class Hosted:
    """One process of this Ray worker; suite and models stay open in it between stages.

    Raises:
        WorkerLostError: the process died while it started.
    """

    def __init__(self, place: Workplace, threads: int) -> None:
        context = context_for(this_machine(), threads)
        try:
            with _no_main():  # other stages may run on this node: it is shared
                self.pipe, self.process = start(
                    context, place, threads=threads, gpus=None, shared=True
                )
        except (EOFError, OSError) as error:
            raise WorkerLostError(f"its worker was lost while it started ({error!r})") from error

    def carry_out(
        self, stage: Stage, threads: int, ring: Callable[[Event | str], object]
    ) -> StageOutcome:
        """One stage; what the process tells meanwhile is passed to ``ring``.

        Raises:
            WorkerLostError: the process died.
            WorkerNotOpenedError: it has not what the stage needs.
        """
        try:
            self.pipe.send((stage, None, threads))  # without a log: Ray forwards what is printed
            while isinstance(message := self.pipe.recv(), Event | str):
                ring(message)
        except (EOFError, OSError) as error:
            self.process.join()
            raise WorkerLostError(why_lost(self.process.exitcode, stage)) from error
        if isinstance(message, NotOpened):
            raise WorkerNotOpenedError(message.message, message.unexpected)
        outcome: StageOutcome = message
        return outcome

    def end(self) -> None:
        """End the process at once; the store loses nothing by it."""
        self.process.kill()
        self.process.join()
        self.pipe.close()


@contextmanager
def _no_main() -> Iterator[None]:
    """A child imports its parent's main module again, which in a Ray worker is Ray's."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


#: The process that this Ray worker has, by the run that it belongs to and the GPUs it sees.
_open: dict[tuple[str, str | None], Hosted] = {}


def hosted(place: Workplace, run: str, threads: int) -> Hosted:
    """This Ray worker's process for a run, started by the first stage and kept for the next."""
    key = run, os.environ.get("CUDA_VISIBLE_DEVICES")
    if key not in _open or not _open[key].process.is_alive():
        for other in _open.values():
            other.end()
        _open.clear()
        _open[key] = Hosted(place, threads)
    return _open[key]
