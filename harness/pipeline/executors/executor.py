"""What an executor is: the verb that runs stages somewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from steelyard.harness.pipeline.stage import Stage, StageOutcome
    from steelyard.harness.pipeline.worker import Worker


@runtime_checkable
class Executor(Protocol):
    """Runs stages somewhere: here, in processes of this machine, or on a cluster."""

    def run(self, stages: Iterable[Stage], worker: Worker) -> Iterator[StageOutcome]:
        """Carry out stages, each once what it follows has ended, and tell of each as it ends.

        ``worker`` is this process's own; ``worker.place`` opens others like it elsewhere, and
        ``worker.tell`` shows what happens there. Results travel through the store. Stages whose
        worker is lost (killed, out of memory, past its time) are tried again; a stage that fails
        by itself is not, and what needs it is skipped while the rest goes on.
        """
