"""How a command ends: 1 says a regression alone; what nobody foresaw is 70, a line and a log."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from steelyard.harness.cli import main
from steelyard.harness.errors import ConfigError, NotComparableError


class PanicException(BaseException):
    """As pyo3 raises it for a panic in Rust: no ``Exception``."""


@pytest.fixture
def ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[BaseException], tuple[int, str]]:
    """The exit code and standard error of a command in which this is raised."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def end(error: BaseException) -> tuple[int, str]:
        def fail() -> None:
            raise error

        monkeypatch.setattr(main, "app", fail)
        with pytest.raises(SystemExit) as caught:
            main.main()
        return int(caught.value.code or 0), capsys.readouterr().err

    return end


Ended = Callable[[BaseException], tuple[int, str]]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PanicException("called `Option::unwrap()`\n on None"), "unexpected PanicException"),
        (MemoryError(), "out of memory"),
        (RecursionError("maximum recursion depth"), "nested too deeply"),
        (EOFError("compressed file ended"), "unexpected EOFError"),
        (RuntimeError("\x1b[2Jboom at s3://ann:pw@bucket"), "RuntimeError: boom at s3://ann:***@"),
    ],
)
def test_what_nobody_foresaw_is_70_one_line_and_a_log(
    ended: Ended, error: BaseException, said: str
) -> None:
    code, line = ended(error)
    assert code == 70
    assert line.count("\n") == 1 and line.startswith("error: ") and said in line
    log = Path(re.search(r"the traceback is in (\S+)", line)[1])  # type: ignore[index]
    text = log.read_text()
    assert "Traceback (most recent call last)" in text and type(error).__name__ in text
    assert "pw" not in text and "\x1b" not in text
    assert log.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ConfigError("wrong\x1b[2J", file="a.yaml"), 2, "error: a.yaml: wrong\n"),
        (NotComparableError("other task"), 3, "error: other task\n"),
        (OSError(28, "No space left on device"), 2,
         "error: No space left on device; free some space\n"),
        (FileNotFoundError(2, "No such file", "x\x1b]0;t\x07"), 2, "error: x: No such file\n"),
        (OSError(36, "File name too long", "t" * 400), 2,
         f"error: {'t' * 149}…: File name too long; use a shorter name\n"),
        (KeyboardInterrupt(), 130, "stopped; the same command goes on from here\n"),
        (SystemExit(15), 143, "stopped; the same command goes on from here\n"),
        (SystemExit(3), 3, ""),
    ],
)  # fmt: skip
def test_what_was_foreseen_keeps_its_code(
    ended: Ended, error: BaseException, code: int, line: str
) -> None:
    assert ended(error) == (code, line)


#: The command, in which the verb ``doctor`` is what the test wants.
PROGRAM = """
import os, signal, sys
from steelyard.harness.cli import main
def app():
    os.write(2, b"thread panicked at 'token \\x1b[2J'\\n")
    {body}
main.app = app
main.main()
"""


def _run(body: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM.replace("{body}", body)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TMPDIR": os.environ.get("TMPDIR", "/tmp")},
    )


def test_what_a_library_writes_past_python_goes_through_the_filter_or_into_the_log() -> None:
    done = _run("raise RuntimeError('boom')")
    assert done.returncode == 70
    assert done.stderr.count("\n") == 1 and "panicked" not in done.stderr
    log = Path(done.stderr.rpartition(" ")[2].strip())
    assert "thread panicked at 'token '" in log.read_text()
    log.unlink()
    done = _run("print('said', file=sys.stderr)")
    assert (done.returncode, done.stderr) == (0, "said\nthread panicked at 'token '\n")
    refusal = "from steelyard.harness.errors import CheckpointError; raise CheckpointError('no')"
    done = _run(refusal)
    assert (done.returncode, done.stderr) == (2, "error: no\n")  # which says what the panic was


def test_sigterm_ends_as_ctrl_c_does() -> None:
    done = _run("os.kill(os.getpid(), signal.SIGTERM)")
    assert done.returncode == 128 + signal.SIGTERM
    assert "the same command goes on from here" in done.stderr


def test_a_reader_that_has_gone_hears_no_verdict() -> None:
    command = f"{sys.executable} -m steelyard --version"
    script = f"set -o pipefail; {command} | true; echo $?"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("141\n", "")
