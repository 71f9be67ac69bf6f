"""What runs in a worker process of a node, and how its end is seen."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import connection, current_process, parent_process
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from steelyard.harness.checkpoints import fork_server
from steelyard.harness.errors import STOPPING, is_foreseen
from steelyard.harness.files import Screen, redacted
from steelyard.harness.pipeline.events import Event, Listener
from steelyard.harness.pipeline.stage import Stage, StageOutcome

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from steelyard.harness.pipeline.worker import Worker, Workplace

#: Progress is passed on at most so often.
PROGRESS_SECONDS = 0.2


@dataclass(frozen=True)
class Surroundings:
    """What a worker process is given of its driver's surroundings."""

    start_method: str
    environment: Mapping[str, str] = field(repr=False)
    threads: int
    gpus: tuple[str, ...] | None
    """None: whichever its driver has."""
    shared: bool
    """Whether other stages may run on this machine at the same time."""


class NotOpened(NamedTuple):
    """What a worker process sends where it could not open what its stage needs."""

    message: str
    unexpected: bool = True
    """Whether it is no mistake of the user's."""


def work(place: Workplace, pipe: Connection[Any, Any], how: Surroundings) -> None:
    """Carry out the stages that come through ``pipe`` until it closes.

    A stage comes with its log, where its output goes, and with its threads. The process ends with
    its driver, also where that is killed: an orphan would go on holding its stage's lease.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver ends its workers
    os.environ.clear()  # a fork server's are those of its own start
    os.environ.update(how.environment)
    # Read when torch is imported; where it has been, the stages set their threads themselves.
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(how.threads)
    if how.gpus is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(how.gpus)
    if how.start_method == "forkserver":
        fork_server()
    threading.Thread(target=_end_with_the_driver, daemon=True).start()
    # A stage's log is read by people, at a terminal too.
    sys.stdout, sys.stderr = Screen(sys.stdout), Screen(sys.stderr)
    # It ends with its driver by itself; as a "daemon" it could not have processes of its own, which
    # data loaders and tasks that run code have.
    current_process()._config["daemon"] = False  # type: ignore[attr-defined]
    worker: Worker | None = None
    while True:
        try:
            stage, log, threads = pipe.recv()
        except EOFError:
            return
        with output_to(log):
            try:
                if worker is None:
                    worker = place.open(seldom(pipe.send))
                    worker.logged, worker.shared = log is not None, how.shared
                pipe.send(stage.name)  # it begins: its time runs from here
                outcome: StageOutcome | NotOpened = worker.carry_out(stage, threads)
            except STOPPING:
                raise
            except BaseException as error:  # the worker could not be opened
                traceback.print_exc()
                outcome = NotOpened(
                    redacted(f"{type(error).__name__}: {error}"),
                    unexpected=not is_foreseen(error),
                )
        pipe.send(outcome)


def _end_with_the_driver() -> None:
    driver = parent_process()
    assert driver is not None, "a worker is a child"
    connection.wait([driver.sentinel])
    os._exit(1)


def seldom(send: Listener) -> Listener:
    """A listener that lets progress through only every ``PROGRESS_SECONDS``, and all the rest."""
    last = 0.0

    def pass_on(event: Event) -> None:
        nonlocal last
        now = time.monotonic()
        if event.status != "progress" or now - last >= PROGRESS_SECONDS:
            last = now
            send(event)

    return pass_on


@contextmanager
def output_to(log: Path | None) -> Iterator[None]:
    """Whatever the process writes in the block, libraries in C too, goes to the end of ``log``.

    Where the log cannot be opened (a full disk), it goes where it went before.
    """
    try:
        if log is None:
            raise OSError
        log.parent.mkdir(parents=True, exist_ok=True)
        target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError:
        yield
        return
    originals = [os.dup(1), os.dup(2)]
    _onto([target, target])
    os.close(target)
    try:
        yield
    finally:
        _onto(originals)
        for descriptor in originals:
            os.close(descriptor)


def _onto(descriptors: list[int]) -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    for number, descriptor in enumerate(descriptors, start=1):
        os.dup2(descriptor, number)


def why_lost(exit_code: int | None, stage: Stage) -> str:
    """What is known of a worker that ended in the middle of a stage."""
    if exit_code is not None and exit_code < 0:
        name = signal.Signals(-exit_code).name
        short = " (killed, or out of memory)" if -exit_code == signal.SIGKILL else ""
        return f"its worker died of {name}{short} during '{stage.name}'"
    return f"its worker ended with exit code {exit_code} during '{stage.name}'"
