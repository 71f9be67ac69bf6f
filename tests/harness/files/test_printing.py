"""What is printed drives no terminal, commands no CI runner and shows no password."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from steelyard.harness.errors import StoreError
from steelyard.harness.files.screen import Screen, console, screened


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


HOSTILE = "a\x1b[2J\x1b]0;title\x07\x9b1mb\rc\u202ed\x1b[8mhidden\x1b[1A\x00e"


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_no_escape_passes_by_print_or_by_bytes(stream: type[io.StringIO]) -> None:
    out = stream()
    print(HOSTILE, file=Screen(out))
    Screen(out).buffer.write(HOSTILE.encode())
    assert out.getvalue() == "abc<U+202E>dhiddene\nabc<U+202E>dhiddene"


def test_an_escape_in_two_writes_does_not_pass_either() -> None:
    out = Terminal()
    screen = Screen(out)
    for part in ("\x1b", "[2J", "\x1b]0;", "title\x07"):
        screen.write(part)
    assert "\x1b" not in out.getvalue() and "\x07" not in out.getvalue()


def test_rich_has_its_colours_on_a_terminal_and_strangers_have_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    table = Table()
    table.add_column(HOSTILE)
    table.add_row(HOSTILE)
    out = Terminal()
    monkeypatch.setattr(sys, "stdout", Screen(out))
    console().print(table, style="red")
    text = out.getvalue()
    assert "\x1b[31m" in text
    assert not any(code in text for code in ("\x1b[2J", "\x1b]", "\x1b[8m", "\x1b[1A", "\u202e"))
    Console().print("\x1b[2J\x1b]0;title\x07plain")  # a library's own
    assert "\x1b[2J" not in out.getvalue() and "\x1b]" not in out.getvalue()


def test_a_bar_moves_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    out = Terminal()
    monkeypatch.setattr(sys, "stderr", Screen(out))
    with Progress(console=console(error=True), transient=True) as bar:
        bar.add_task("scoring", total=2)
        print("\x1b[2Jwarning", file=sys.stderr)
    assert "\x1b[?25l" in out.getvalue() and "\x1b[2K" in out.getvalue()
    assert "\x1b[2J" not in out.getvalue() and "warning" in out.getvalue()


def test_a_runner_is_given_no_command_but_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    out = io.StringIO()
    screen = Screen(out)
    for text in ("::error::x\n", "  ::stop-commands::t\n", "a ::b", "::c\n", "\x1b[m::d\n"):
        screen.write(text)
    screen.write("##[group]x ##vso[task]y\n")
    screen.obeyed("::error title=t::ours\n")
    lines = out.getvalue().splitlines()
    assert [line for line in lines if line.lstrip().startswith("::")] == ["::error title=t::ours"]
    assert "a ::b::c" in lines  # within a line it is text
    assert "##" not in out.getvalue()


def test_passwords_are_hidden_on_standard_error_and_documents_stay_data(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PGPASSWORD", "hunter22")
    with screened():
        print('{"answer": "password=abc", "seen": "hunter22"}')
        print("at s3://ann:abc@bucket", file=sys.stderr)
    out, err = capsys.readouterr()
    assert out == '{"answer": "password=abc", "seen": "***"}\n'
    assert err == "at s3://ann:***@bucket\n"


def test_a_stream_that_is_full_is_named_and_one_without_a_reader_is_left_quietly() -> None:
    with Path("/dev/full").open("w", buffering=1) as full:
        with pytest.raises(StoreError, match="/dev/full: cannot be written: No space left"):
            Screen(full).write("x\n")
        full.close = lambda: None  # type: ignore[method-assign]  # it would try once more

    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    with pytest.raises(SystemExit) as caught:
        Screen(Gone()).write("x")
    assert caught.value.code == 141  # 128 + SIGPIPE; never 0 or 1, which are verdicts


def test_what_an_encoding_lacks_is_written_out() -> None:
    out = io.TextIOWrapper(io.BytesIO(), "ascii")
    screen = Screen(out)
    screen.write("é ✓")
    screen.flush()
    out.seek(0)
    assert out.read() == "\\xe9 \\u2713"
