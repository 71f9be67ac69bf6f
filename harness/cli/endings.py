"""How a command ends: its exit code, and the one line that is said of an error.

0-4   the verdict, or a mistake of the user's: see harness/errors.py
70    what nobody foresaw; the line names a log that holds the traceback
130   Ctrl-C            143   SIGTERM            141   nobody reads standard output any more
"""

from __future__ import annotations

import faulthandler
import os
import shlex
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import IO, TextIO

import typer

from steelyard.harness import __version__
from steelyard.harness.errors import (
    EXIT_UNEXPECTED,
    EXIT_USAGE,
    PLACE_FIXES,
    SteelyardError,
    is_foreseen,
    of_the_place,
)
from steelyard.harness.files import Screen, one_line, redacted, terminal_safe

#: What a shell sees of a signal: 128 and its number.
INTERRUPTED, TERMINATED = 130, 143
#: Codes of commands that were stopped -> what they exit with; Ray exits with the bare number.
STOPPED = {INTERRUPTED: INTERRUPTED, TERMINATED: TERMINATED, int(signal.SIGTERM): TERMINATED}
_LONGEST_LINE, _LONGEST_PART = 300, 150
_NATIVE_BYTES = 65_536


def say(line: str, colour: str | None = None) -> None:
    """A line on standard error, in colour on a terminal."""
    stream = sys.stderr
    if stream is not None:
        text = terminal_safe(line)
        text = typer.style(text, fg=colour) if colour and stream.isatty() else text
        print(text, file=getattr(stream, "rich_proxied_file", stream), flush=True)


def told(error: BaseException, natives: Natives) -> int:
    """Say what is to be said of ``error`` and return the exit code."""
    if isinstance(error, SteelyardError):
        natives.forget_panics()
        for line in str(error).splitlines():  # one; of a file with several mistakes one each
            say(f"error: {line}", "red")
        return error.exit_code
    if hasattr(error, "format_message") and hasattr(error, "show"):  # Typer's, of its options
        from typer import rich_utils

        rich_utils.rich_format_error(error)  # type: ignore[arg-type]
        return EXIT_USAGE
    if is_foreseen(error):
        fix = PLACE_FIXES.get(of_the_place(error) or 0)
        file, words = getattr(error, "filename", None), getattr(error, "strerror", None)
        parts = (str(file or ""), words or redacted(str(error)))
        where = ": ".join(one_line(part, _LONGEST_PART) for part in parts if part)
        say(f"error: {where}{f'; {fix}' if fix else ''}", "red")
        return EXIT_USAGE
    say(f"error: {_unexpected(error)}; {_logged(error, natives)}", "red")
    return EXIT_UNEXPECTED


def _unexpected(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "out of memory"
    if isinstance(error, RecursionError):
        return "something is nested too deeply"
    cause = error.__cause__ if isinstance(error, typer.Abort) and error.__cause__ else error
    words = one_line(redacted(str(cause)), _LONGEST_LINE)
    return f"unexpected {type(cause).__name__}" + (f": {words}" if words else "")


def _logged(error: BaseException, natives: Natives) -> str:
    """Write the log of an error; in words, where it is."""
    parts = (
        f"steelyard {__version__}, Python {sys.version.split()[0]}",
        f"$ {shlex.join(['steelyard', *sys.argv[1:]])}",
        "".join(traceback.format_exception(error)),
        natives.taken(),
    )
    try:
        descriptor, name = tempfile.mkstemp(prefix="steelyard-error-", suffix=".log")
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(terminal_safe(redacted("\n".join(parts))))
    except OSError as problem:
        return f"no log could be written ({problem.strerror or problem})"
    return f"the traceback is in {name}"


#: What every message of a panic in Rust holds.
_PANIC = "panicked at"


@dataclass
class Natives:
    """What libraries in C and Rust write to standard error past Python, kept until the end."""

    file: IO[bytes] | None = None

    def taken(self) -> str:
        """What was written since the last call; its end, where it is long."""
        if self.file is None:
            return ""
        self.file.seek(0, os.SEEK_END)
        size = self.file.tell()
        self.file.seek(max(0, size - _NATIVE_BYTES))
        text = self.file.read().decode("utf-8", "backslashreplace")
        self.file.seek(0)
        self.file.truncate()
        return text

    def forget_panics(self) -> None:
        """Leave out the message of a panic that became a line of ours, which says what matters."""
        text = self.taken()
        if self.file is not None and _PANIC not in text:
            self.file.write(text.encode("utf-8", "backslashreplace"))
            self.file.flush()


@contextmanager
def natives_kept() -> Iterator[Natives]:
    """Descriptor 2 leads into a file without a name while Python's ``sys.stderr`` goes on.

    A library that writes past Python (the message of a panic, which may quote a stranger's file)
    passes no filter. What stands in the file at the end is shown through it, or goes into the log
    of the error that it belongs to. Where standard error is not this process's own (a test's), it
    stays as it is.
    """
    screen = sys.stderr
    try:
        is_own = isinstance(screen, Screen) and screen.fileno() == 2
        file = tempfile.TemporaryFile() if is_own else None  # noqa: SIM115  closed below
    except (OSError, ValueError):
        file = None
    if file is None:
        yield Natives()
        return
    natives = Natives(file)
    with file, _elsewhere(file) as original:
        sys.stderr = Screen(original)
        try:
            yield natives
        finally:
            text = natives.taken()
            with suppress(OSError, SteelyardError):
                sys.stderr.write(text)
                sys.stderr.flush()
            sys.stderr = screen


@contextmanager
def _elsewhere(file: IO[bytes]) -> Iterator[TextIO]:
    """Descriptor 2 writes to the end of ``file`` within the block; yields where it wrote before."""
    sys.stderr.flush()
    original = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        with os.fdopen(
            os.dup(original), "w", 1, encoding=sys.stderr.encoding, errors="backslashreplace"
        ) as stream:
            faulthandler.enable(stream)  # of a crash nothing else would be told
            yield stream
    finally:
        faulthandler.disable()
        os.dup2(original, 2)
        os.close(original)


@contextmanager
def ending_on_sigterm() -> Iterator[None]:
    """SIGTERM ends the command as Ctrl-C does, with 143: what is open is closed."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise SystemExit(TERMINATED)

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
