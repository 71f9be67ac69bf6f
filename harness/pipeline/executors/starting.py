"""How worker processes start: each from a new interpreter, or forked from one that has imported.

The libraries' imports cost a process some seven seconds, which two workers and the processes that
check their checkpoints would each pay. Where there is no GPU, Python's own fork server pays once:
it imports, computes nothing, and forks. With a GPU every worker is a new interpreter, because an
import may start CUDA, which no fork survives.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from steelyard.harness.files import own_folder
from steelyard.harness.interpreters import safe_environment, safe_interpreters
from steelyard.harness.pipeline.executors.machine import Machine
from steelyard.harness.pipeline.executors.process import Surroundings, work

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkServerContext, SpawnContext
    from multiprocessing.process import BaseProcess

    from steelyard.harness.pipeline.worker import Workplace

    Context = SpawnContext | ForkServerContext


#: Bytes of a socket's address (`sun_path`, with its closing zero), and of `/listener-xxxxxxxx`.
_LONGEST_SOCKET, _SOCKET_NAME = 107, 18


def context_for(machine: Machine, threads: int) -> Context:
    """The multiprocessing context that workers of ``threads`` threads come from."""
    if machine.gpus or sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["steelyard.harness.pipeline.executors.preloaded"])
    try:
        _keep_sockets_in(own_folder())
        with _threads(threads), safe_interpreters():  # libraries read threads on their import
            forkserver.ensure_running()
    except OSError:  # its socket lies under TMPDIR, which may be full or its name too long
        return multiprocessing.get_context("spawn")
    return context


def _keep_sockets_in(folder: Path) -> None:
    """Where multiprocessing puts its sockets, in this process and those that it starts.

    Its own folders, ``pymp-...``, say nothing of whose they are, and nobody removes those of a
    killed process. A name that is too long for a socket is left to multiprocessing.
    """
    if len(os.fsencode(folder)) + _SOCKET_NAME <= _LONGEST_SOCKET:
        # What `multiprocessing.util.get_temp_dir` reads; there is no public name for it.
        multiprocessing.current_process()._config.setdefault("tempdir", str(folder))  # type: ignore[attr-defined]


def start(
    context: Context,
    place: Workplace,
    *,
    threads: int,
    gpus: tuple[str, ...] | None,
    shared: bool,
) -> tuple[Connection[Any, Any], BaseProcess]:
    """A worker process that has begun, and the end of the pipe that its stages go through."""
    ours, theirs = context.Pipe()
    how = Surroundings(context.get_start_method(), safe_environment(), threads, gpus, shared)
    process = context.Process(target=work, args=(place, theirs, how), daemon=True)
    with _no_main(), safe_interpreters():
        process.start()
    theirs.close()
    return ours, process


@contextmanager
def _no_main() -> Iterator[None]:
    """The main program is not imported into processes that start within this block.

    A worker needs nothing of it, and a user's script without ``if __name__ == "__main__"`` would
    run again in each.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def _threads(count: int) -> Iterator[None]:
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, str(count)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
