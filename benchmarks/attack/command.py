"""The command as a user runs it, in a forked process: exit code, what it printed, what it took.

The libraries are loaded once, before the first fork, for importing torch is most of what a short
command costs. A forked process has a standard input, an environment, a folder, limits and an exit
code of its own; a traceback ends it with 1, as the interpreter does.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import logging
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import util
from pathlib import Path
from typing import Any

#: What the verbs load when they need it.
LIBRARIES = (
    "transformers", "lm_eval.tasks", "lm_eval.models.huggingface", "peft", "datasets", "pandas",
    "pyarrow.parquet", "scipy.stats", "gguf", "plotly.graph_objects",
)  # fmt: skip
TIMED_OUT = 124


@dataclass(frozen=True)
class Ended:
    """How one call of the command ended."""

    code: int
    """The exit code; 128 and the signal where one ended it; ``TIMED_OUT`` after the time."""
    out: str
    err: str
    seconds: float
    memory_mb: float
    """The most memory beyond what the process was forked with."""

    @property
    def printed(self) -> str:
        """Everything that it printed."""
        return self.out + self.err

    def brief(self) -> str:
        """The code and the last line, for a table."""
        lines = [line for line in self.printed.splitlines() if line.strip()]
        last = lines[-1] if lines else "nothing printed"
        return f"exit {self.code}: {last[:160]!r}"


def load() -> None:
    """Import once what the commands need."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    logging.getLogger("bitsandbytes").setLevel(logging.CRITICAL)
    main = import_module("steelyard.harness.cli.main")
    for name in LIBRARIES:
        import_module(name)
    for name in main.VERBS:
        main.verb_command(name)
    gc.freeze()


@dataclass(frozen=True)
class Started:
    """A command that runs, and where its output goes."""

    pid: int
    places: Mapping[str, Path]
    started: float
    resident_mb: float

    def ended(self, seconds: float) -> Ended:
        """How it ended; its whole group is ended after the time."""
        code, peak = _wait(self.pid, seconds)
        out, err = (
            self.places[name].read_bytes().decode(errors="replace") for name in ("stdout", "stderr")
        )
        for path in self.places.values():
            path.unlink(missing_ok=True)
        took = time.monotonic() - self.started
        return Ended(code, out, err, took, max(0.0, peak - self.resident_mb))


def start(
    *arguments: str | Path,
    cwd: Path,
    stdin: str = "",
    environment: Mapping[str, str] | None = None,
    memory_mb: int | None = None,
    before: Callable[[], None] | None = None,
) -> Started:
    """Begin ``steelyard ARGUMENTS`` in ``cwd``, in a session of its own.

    ``memory_mb`` bounds what the process may take beyond what it has; ``before`` is called in the
    process before the command (another user, another clock).
    """
    places = {name: cwd / f".{name}" for name in ("stdin", "stdout", "stderr")}
    for name, text in (("stdin", stdin), ("stdout", ""), ("stderr", "")):
        places[name].write_text(text)
    started, at_fork = time.monotonic(), _resident_mb()
    pid = os.fork()
    if pid == 0:
        _become(arguments, cwd, places, environment or {}, memory_mb, before)
    return Started(pid, places, started, at_fork)


def steelyard(*arguments: str | Path, seconds: float = 120.0, **how: Any) -> Ended:
    """``steelyard ARGUMENTS`` to its end; ``how`` is as for ``start``."""
    return start(*arguments, **how).ended(seconds)


def _become(
    arguments: tuple[str | Path, ...],
    cwd: Path,
    places: Mapping[str, Path],
    environment: Mapping[str, str],
    memory_mb: int | None,
    before: Callable[[], None] | None,
) -> None:
    """The forked process; never returns."""
    code = 1
    try:
        os.setsid()
        os.chdir(cwd)
        # What the forking process would remove at its end is not this one's to remove.
        weakref.finalize._registry.clear()  # type: ignore[attr-defined]
        tempfile.tempdir = None
        os.dup2(os.open(places["stdin"], os.O_RDONLY), 0)
        for number, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(places[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), number)
        for number, mode in ((0, "r"), (1, "w"), (2, "w")):
            name = ("stdin", "stdout", "stderr")[number]
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", errors="replace"))
        os.environ.update({"COLUMNS": "200", **environment})
        if memory_mb is not None:
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            limit = pages * resource.getpagesize() + memory_mb * 1024 * 1024
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        if before is not None:
            before()
        sys.argv = ["steelyard", *map(str, arguments)]
        code = _code_of_main()
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            atexit._run_exitfuncs()
            util._run_finalizers()
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.flush()
        os._exit(code)


def _code_of_main() -> int:
    """The code that the interpreter would leave with."""
    try:
        import_module("steelyard.harness.cli.main").main()
    except SystemExit as leaving:
        if leaving.code is None or isinstance(leaving.code, int):
            return leaving.code or 0
        print(leaving.code, file=sys.stderr)
        return 1
    return 0


def _wait(pid: int, seconds: float) -> tuple[int, float]:
    """The code of a forked process and its peak in MB; its whole group is ended after the time."""
    deadline = time.monotonic() + seconds
    timed_out = False
    while True:
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            break
        if time.monotonic() > deadline:
            timed_out = True
            os.killpg(pid, signal.SIGKILL)
            _, status, usage = os.wait4(pid, 0)
            break
        time.sleep(0.01)
    if timed_out:
        code = TIMED_OUT
    elif os.WIFSIGNALED(status):
        code = 128 + os.WTERMSIG(status)
    else:
        code = os.WEXITSTATUS(status)
    return code, usage.ru_maxrss / 1024


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1024**2


def interpreter(*arguments: str | Path, cwd: Path, seconds: float = 300.0) -> Ended:
    """The command in an interpreter of its own, as the installed script starts it.

    What keeps the interpreters of this process from importing out of the working directory is
    taken out of the environment, for a user does not set it.
    """
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONSAFEPATH"}
    script = "import sys; sys.path[:] = [p for p in sys.path if p]; " + (
        "from steelyard.harness.cli.main import main; main()"
    )
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=cwd,
        env={**environment, "COLUMNS": "200"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=seconds,
        check=False,
    )
    out, err = (stream.decode(errors="replace") for stream in (done.stdout, done.stderr))
    return Ended(done.returncode, out, err, time.monotonic() - started, 0.0)
