"""Every error that Steelyard raises on purpose, each one line that names the fix.

    SteelyardError                    exit 2   one line, never a traceback
    |-- ConfigError                        an experiment, suite, policy or task file is wrong
    |   `-- SeveralError                   every mistake of one file, a line each
    |-- DataError                          a data file or a document is wrong
    |-- CheckpointError                    a model folder cannot be opened or trusted
    |-- TrainingError                      a training run failed (NaN loss, nothing to learn, ...)
    |-- ScoringError                       a model could not be scored
    |-- MetricError                        rows that no metric may aggregate
    |-- StatisticsError                    inputs that no test may be run on
    |-- StoreError                         the workspace is damaged, locked or not there
    |   `-- NewerVersionError              a newer Steelyard wrote it: it stays as it is
    |-- UnknownNameError                   a run, plugin, task or suite that does not exist
    |-- MissingExtraError                  an optional dependency is not installed
    |-- UnexpectedStageError      exit 70  a stage ended with what nobody foresaw
    `-- NotComparableError        exit 3   two results that must not be compared
        `-- NoCurrentRunError              a name whose present checkpoint has no run

Any other error is a mistake of Steelyard's own, or of a library: exit 70 and a log with its
traceback. Exit 1 says a regression and nothing else.

A message reads ``where: what; fix``. ``where`` is a file and a key where there is one.
"""

from __future__ import annotations

import difflib
import errno
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

EXIT_PASS = 0
EXIT_REGRESSION = 1
EXIT_USAGE = 2
EXIT_NOT_COMPARABLE = 3
EXIT_INCONCLUSIVE = 4
#: What nobody foresaw: EX_SOFTWARE of BSD's sysexits.h.
EXIT_UNEXPECTED = 70
#: Where several apply, the first of these is the exit code.
EXIT_PRECEDENCE = (
    EXIT_UNEXPECTED,
    EXIT_USAGE,
    EXIT_NOT_COMPARABLE,
    EXIT_REGRESSION,
    EXIT_INCONCLUSIVE,
    EXIT_PASS,
)

#: What ends a process on purpose. Every other ``BaseException`` is a failure: a panic of a library
#: in Rust (pyo3's ``PanicException``) is no ``Exception``.
STOPPING = (KeyboardInterrupt, SystemExit, GeneratorExit)
#: Errors of the system that the user can mend, and how.
PLACE_FIXES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "raise the quota, or free some space",
    errno.EFBIG: "raise the file size limit (ulimit -f)",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENAMETOOLONG: "use a shorter name",
    errno.EROFS: "choose a folder that can be written",
    errno.EACCES: "choose a folder that can be written",
}
#: How Rust's standard library ends the words of an error of the system.
_RUST_ERROR = re.compile(r"\(os error (\d+)\)")
#: Databases give no number: SQLite's own words, and PostgreSQL's, which are the system's.
_FULL = ("database or disk is full", os.strerror(errno.ENOSPC))


class SteelyardError(Exception):
    """A mistake that the user can mend; printed as one line: ``file:line: key: what; fix``.

    Raise it with what is wrong, the value and the fix. Where it happened is added on the way out by
    :func:`located`, so that code deep inside needs to be handed neither a file nor a key.
    """

    exit_code: int = EXIT_USAGE

    def __init__(
        self,
        message: str,
        *,
        file: object | None = None,
        key: str | None = None,
        line: int | None = None,
        value: object | None = None,
        fix: str | None = None,
    ) -> None:
        self.message = message
        self.file = None if file is None else str(file)
        self.key = key
        self.line = line
        self.value = value
        self.fix = fix
        super().__init__(message)

    def __str__(self) -> str:
        file = self.file if self.line is None else f"{self.file or 'line'}:{self.line}"
        where = ": ".join(part for part in (file, self.key) if part)
        text = f"{where}: {self.message}" if where else self.message
        if self.value is not None:
            shown = repr(self.value)
            text += f" (got {shown if len(shown) <= 80 else shown[:77] + '...'})"
        if self.fix:
            text += f"; {self.fix}"
        return " ".join(text.split())


@contextmanager
def located(
    *,
    file: object | None = None,
    key: str | None = None,
    line_of: Callable[[str], int | None] | None = None,
) -> Iterator[None]:
    """Errors raised within the block say where: what they do not say themselves is added.

    Args:
        file: the file that is being read.
        key: the key inside it; put before the key that the error names, with a dot between.
        line_of: key -> line number in the file, from whoever parsed it; None where it is unknown.
    """
    try:
        yield
    except SteelyardError as error:
        _place(error, file, key, line_of)
        raise


def _place(
    error: SteelyardError,
    file: object | None,
    key: str | None,
    line_of: Callable[[str], int | None] | None,
) -> None:
    """Add to an error, or to each of several, what it does not say of its place."""
    for each in error.errors if isinstance(error, SeveralError) else (error,):
        if each.file is None:
            each.file = None if file is None else str(file)
            if key is not None:
                each.key = key if each.key is None else f"{key}.{each.key}"
            if each.line is None and line_of is not None and each.key is not None:
                each.line = line_of(each.key)


@dataclass(frozen=True)
class _Gathering:
    """A block whose errors are kept; a checker knows that it may end early."""

    errors: list[SteelyardError]
    file: object | None
    key: str | None
    line_of: Callable[[str], int | None] | None

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, SteelyardError):
            return False
        _place(error, self.file, self.key, self.line_of)
        self.errors.extend(error.errors if isinstance(error, SeveralError) else (error,))
        return True


class Collected:
    """Errors of one file gathered while its parts are read, then raised together.

    ``with problems.of(key="candidates.lora"): ...`` keeps an error and goes on after the block;
    ``problems.raise_any()`` raises what was kept: one error as itself, several as
    :class:`SeveralError`.
    """

    def __init__(self) -> None:
        self.errors: list[SteelyardError] = []

    def of(
        self,
        *,
        file: object | None = None,
        key: str | None = None,
        line_of: Callable[[str], int | None] | None = None,
    ) -> AbstractContextManager[None, bool]:
        """Keep an error that is raised within the block, located as by :func:`located`."""
        return _Gathering(self.errors, file, key, line_of)

    def raise_any(self) -> None:
        """Raise what was kept; nothing was: return."""
        if len(self.errors) == 1:
            raise self.errors[0]
        if self.errors:
            raise SeveralError(self.errors)


class ConfigError(SteelyardError):
    """An experiment, suite, policy or task file is wrong."""


#: A table may be wrong in every row: so many mistakes are shown, the rest are counted.
MOST_SHOWN = 20


class SeveralError(ConfigError):
    """Every error of one file, told at once: a line each, in the order of the file."""

    def __init__(self, errors: Sequence[SteelyardError]) -> None:
        self.errors = tuple(errors)
        super().__init__("; ".join(error.message for error in self.errors))
        self.exit_code = exit_code_of(error.exit_code for error in self.errors)

    def __str__(self) -> str:
        # Sorted here: an error may get its line after it was collected.
        lines = [str(e) for e in sorted(self.errors, key=lambda error: error.line or 0)]
        more = [f"and {len(lines) - MOST_SHOWN} more mistakes"] if len(lines) > MOST_SHOWN else []
        return "\n".join([*lines[:MOST_SHOWN], *more])

    def __reduce__(self) -> tuple[type[SeveralError], tuple[tuple[SteelyardError, ...]]]:
        return SeveralError, (self.errors,)


def of_the_place(error: BaseException) -> int | None:
    """The system's number of an error that lies in the place and not in the code: a full disk, a
    folder that cannot be written. Rust's libraries (safetensors) name it in their text; databases
    say a full disk in words. None: it is another error, whatever its text quotes.
    """
    if isinstance(error, OSError):
        return error.errno if error.errno in PLACE_FIXES else None
    text = str(error)
    number = _RUST_ERROR.search(text)
    if number and int(number[1]) in PLACE_FIXES:
        return int(number[1])
    is_of_database = type(error).__name__ == "OperationalError"  # of each of Python's drivers
    return errno.ENOSPC if is_of_database and any(words in text for words in _FULL) else None


def is_foreseen(error: BaseException) -> bool:
    """Whether an error is a user's to mend: one of ours, or one of the files and the place."""
    if isinstance(error, SteelyardError) or of_the_place(error) is not None:
        return True
    return isinstance(error, OSError) and bool(error.filename)


class DataError(SteelyardError):
    """A data file or a document in it is wrong."""


class CheckpointError(SteelyardError):
    """A model folder cannot be opened, verified or trusted."""


class UnexpectedStageError(SteelyardError):
    """A stage ended with an error that nobody foresaw; its log holds the traceback."""

    exit_code = EXIT_UNEXPECTED


class TrainingError(SteelyardError):
    """A training run failed; other candidates go on."""


class ScoringError(SteelyardError):
    """A model could not be scored."""


class MetricError(SteelyardError):
    """Rows that no metric may aggregate."""


class StatisticsError(SteelyardError):
    """Inputs that no test may be run on: empty, misaligned, not finite."""


class StoreError(SteelyardError):
    """The workspace is damaged, locked, full or not there."""


class NewerVersionError(StoreError):
    """What a newer Steelyard wrote: no damage, and so neither replaced nor removed."""


class UnknownNameError(SteelyardError):
    """A run, plugin, task or suite that does not exist."""


class MissingExtraError(SteelyardError):
    """An optional dependency is not installed; the message names the extra."""


class NotComparableError(SteelyardError):
    """Two results that must not be compared."""

    exit_code = EXIT_NOT_COMPARABLE


class NoCurrentRunError(NotComparableError):
    """A candidate that has no run now: of its present checkpoint, or since its last failure."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The likely fix for a misspelt name: the nearest known ones, or all of them."""
    names = sorted(set(known))
    near = difflib.get_close_matches(name, names, n=2, cutoff=0.5)
    if near:
        return "did you mean " + " or ".join(f"'{n}'" for n in near) + "?"
    if not names:
        return "there are none"
    shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    return f"known: {shown}"


def exit_code_of(codes: Iterable[int]) -> int:
    """The one exit code of several, by the documented precedence."""
    present = set(codes)
    return next((code for code in EXIT_PRECEDENCE if code in present), EXIT_PASS)
