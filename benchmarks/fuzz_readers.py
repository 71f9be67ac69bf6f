"""Hostile files against every reader of outside files, for as long as one likes.

    python benchmarks/fuzz_readers.py --minutes 60 > benchmarks/results/fuzz_readers.md

Files come from Hypothesis (``tests/harness/fuzz``): random bytes, valid files with bytes damaged,
and valid files with values replaced. Each reader has a process of its own whose address space may
grow by ``MEMORY_BOUND_BYTES`` and in which one file may take ``HANG_SECONDS``. What is not a result
or an error of one line is a failure: it is shown shrunk, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import io
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

MEMORY_BOUND_BYTES = 1024**3
#: Of the clock: on a machine with other work the libraries alone may take them (``--hang``).
HANG_SECONDS = 20
EXAMPLES_A_ROUND = 250


def hunt(name: str, seconds: float, seed: int, hang_seconds: float) -> dict[str, object]:
    """Read hostile files of one kind until the time is up; every distinct failure once."""
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded

    from tests.harness.fuzz.readers import READERS, attempt, prepared

    reader = READERS[name]
    verdicts: Counter[str] = Counter()
    failures: dict[str, str] = {}
    slowest = 0.0

    with tempfile.TemporaryDirectory() as place:
        folder = prepared(reader, Path(place) / "x")
        before = 0

        def one(content: bytes) -> None:
            nonlocal slowest
            faulthandler.dump_traceback_later(hang_seconds, exit=True, file=sys.__stderr__)
            started = time.perf_counter()
            try:
                verdicts[attempt(reader, folder, content)] += 1
            finally:
                faulthandler.cancel_dump_traceback_later()
                slowest = max(slowest, time.perf_counter() - started)

        options = settings(
            max_examples=EXAMPLES_A_ROUND,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
            print_blob=False,
        )
        until = time.monotonic() + seconds
        rounds = 0
        while time.monotonic() < until:
            test = seeded(seed * 1_000_003 + rounds)(options(given(reader.content())(one)))
            try:
                test()
            except BaseException as error:  # a group of them where several differ
                for found in getattr(error, "exceptions", None) or [error]:
                    if isinstance(found, KeyboardInterrupt):
                        raise
                    failures.setdefault(*described(found))
                prepared(reader, folder)
            rounds += 1
            if rounds == 1:
                # The first round loads the libraries; from here on memory is bounded.
                bound_memory()
                before = peak_bytes()
    return {
        "reader": name,
        "files": sum(verdicts.values()),
        "read": verdicts["read"],
        "refused": verdicts["refused"],
        "slowest_seconds": slowest,
        "memory_bytes": peak_bytes() - before,
        "failures": failures,
    }


def described(error: BaseException) -> tuple[str, str]:
    """Where it was raised, which tells failures apart, and the traceback with the file shown."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if f.filename.startswith(str(ROOT / "harness"))] or frames[-1:]
    place = f"{Path(ours[-1].filename).relative_to(ROOT) if ours else '?'}:{ours[-1].lineno}"
    lines = traceback.format_exception_only(error)
    notes = " ".join(getattr(error, "__notes__", []))[:1500]
    return f"{type(error).__name__} at {place}", f"{''.join(lines).strip()[:600]} | {notes}"


def bound_memory() -> None:
    """The address space that this process has now, and ``MEMORY_BOUND_BYTES`` more."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY_BOUND_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def peak_bytes() -> int:
    """The most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def in_process(name: str, seconds: float, seed: int, hang_seconds: float) -> dict[str, object]:
    """``hunt`` in a process of its own; one that dies is a failure of the reader."""
    command = [sys.executable, __file__, "--reader", name, "--seed", str(seed)]
    command += ["--minutes", str(seconds / 60), "--hang", str(hang_seconds)]
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        # Allocators that set aside address space in advance would hide what a reader takes.
        "ARROW_DEFAULT_MEMORY_POOL": "system",
        "MALLOC_ARENA_MAX": "2",
    }
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=seconds + 600, env=environment
    )
    try:
        found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        failures = {f"died with {done.returncode}": done.stderr[-2000:]}
        return {"reader": name, "files": 0, "failures": failures}
    return found


def main() -> int:
    """Print a Markdown table; 1 where anything failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="for all readers together")
    parser.add_argument("--reader", action="append", default=[], help="only this one; repeatable")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--hang", type=float, default=HANG_SECONDS, help="seconds a file may take")
    parser.add_argument("--all", action="store_true", help="a process for each of --reader too")
    arguments = parser.parse_args()
    if len(arguments.reader) == 1 and not arguments.all:
        warnings.simplefilter("ignore")
        silent = io.StringIO()
        with contextlib.redirect_stdout(silent), contextlib.redirect_stderr(silent):
            found = hunt(
                arguments.reader[0], arguments.minutes * 60, arguments.seed, arguments.hang
            )
        print(json.dumps(found))
        return 0
    from tests.harness.fuzz.readers import READERS

    names = arguments.reader or list(READERS)
    seconds = arguments.minutes * 60 / len(names)
    print(f"{arguments.minutes:g} minutes, seed {arguments.seed}, {platform.processor() or ''}")
    bounds = f"memory may grow by 1 GiB, a file may take {arguments.hang:g} s"
    print(f"Python {platform.python_version()}; {bounds}.\n")
    print("| reader | files | read | refused in one line | slowest, s | memory, MB | failures |")
    print("|---|---|---|---|---|---|---|", flush=True)
    failed: list[str] = []
    total = 0
    for name in names:
        found = in_process(name, seconds, arguments.seed, arguments.hang)
        failures = dict(found["failures"])  # type: ignore[call-overload]
        total += int(found["files"])  # type: ignore[call-overload]
        failed += [f"{name}: {where}: {what}" for where, what in failures.items()]
        slowest = float(found.get("slowest_seconds", 0.0))  # type: ignore[arg-type]
        memory = int(found.get("memory_bytes", 0)) / 1e6  # type: ignore[call-overload]
        cells: list[object] = [name, found["files"], found.get("read"), found.get("refused")]
        cells += [f"{slowest:.2f}", f"{memory:.0f}", len(failures)]
        print("| " + " | ".join(map(str, cells)) + " |", flush=True)
    print(f"\n{total} files, {len(failed)} failures.")
    for line in failed:
        print(f"\n- {line}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
