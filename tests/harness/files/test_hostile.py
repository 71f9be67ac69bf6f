"""A model's answer does no harm in the terminal, in CSV, or on one line."""

from __future__ import annotations

import csv
import io
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.harness.files.hostile import csv_safe, one_line, terminal_safe

TERMINAL = {
    "plain text\n\twith tab": "plain text\n\twith tab",
    "\x1b[31mred\x1b[0m": "red",
    "\x1b[2J\x1b[Hcleared": "cleared",
    "\x1b]0;window title\x07after": "after",
    "\x1b]8;;http://evil.example\x1b\\link\x1b]8;;\x1b\\": "link",
    "\x1b]52;c;ZXZpbA==\x07clipboard": "clipboard",
    "\x1bP$q\x1b\\device": "device",
    "\x1b7\x1b8\x1bcreset": "reset",
    "\x9b31mC1 red": "C1 red",
    "\x9d0;title\x9cafter": "after",
    "\x1b]0;never ended, but read on": "0;never ended, but read on",
    "\x1b[": "",
    "\x1b": "",
    "\x1b\x1b[[2J": "2J",
    "bell\x07 back\x08space nul\x00": "bell backspace nul",
    "overwritten\rby this": "overwrittenby this",
    "windows\r\nline": "windows\nline",
    "\u202egnp.exe": "<U+202E>gnp.exe",
    "\u2066isolate\u2069": "<U+2066>isolate<U+2069>",
    "zero\u200bwidth\ufeff": "zero<U+200B>width<U+FEFF>",
    "tag\U000e0041": "tag<U+E0041>",
    "half \ud83e": "half <U+D83E>",
    "next\x85line\u2028para\u2029": "nextline\npara\n",
    "日本語 é ß 🤖": "日本語 é ß 🤖",
    "<script>alert(1)</script>": "<script>alert(1)</script>",
}

CSV = {
    "=cmd|'/c calc'!A1": "'=cmd|'/c calc'!A1",
    "=1+1": "'=1+1",
    "+1+1": "'+1+1",
    "-1+1": "'-1+1",
    "@SUM(A1)": "'@SUM(A1)",
    "\t=1+1": "'\t=1+1",
    "\r=1+1": "'=1+1",
    "  =1+1": "'  =1+1",
    "\n=1+1": "'\n=1+1",
    "\x00=1+1": "'=1+1",
    "\x1b[0m=1+1": "'=1+1",
    "\ufeff=1+1": "<U+FEFF>=1+1",
    "＝1+1": "'＝1+1",
    "-0.5": "-0.5",
    "+1e-3": "+1e-3",
    "-12%": "-12%",
    "-": "'-",
    "a=b": "a=b",
    'plain, "quoted"': 'plain, "quoted"',
    "": "",
}


@pytest.mark.parametrize(("text", "shown"), TERMINAL.items())
def test_the_terminal_shows_text_and_obeys_nothing(text: str, shown: str) -> None:
    assert terminal_safe(text) == shown


@given(st.text(st.characters(codec=None) | st.sampled_from("\x1b[]\x07\x9b\x9d\x9c\\;m\u202e\r")))
def test_no_control_code_ever_reaches_the_terminal(text: str) -> None:
    shown = terminal_safe(text)
    for character in shown:
        assert character in "\n\t" or unicodedata.category(character) not in {"Cc", "Cs"}
        assert character not in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200b"
    shown.encode()
    assert terminal_safe(shown) == shown


@pytest.mark.parametrize(("cell", "safe"), CSV.items())
def test_a_cell_is_never_a_formula(cell: str, safe: str) -> None:
    assert csv_safe(cell) == safe


@pytest.mark.parametrize(
    ("cell", "safe"), [(None, ""), (-0.5, "-0.5"), (3, "3"), (True, "True"), (1e-9, "1e-09")]
)
def test_values_of_ours_stay_what_they_are(cell: object, safe: str) -> None:
    assert csv_safe(cell) == safe


@given(
    st.text(st.characters(codec=None) | st.sampled_from("=+-@\t\r\n\x00\x1b ,\"';"), max_size=30)
)
def test_no_spreadsheet_sees_a_formula_whatever_the_text(text: str) -> None:
    stream = io.StringIO()
    csv.writer(stream).writerow([csv_safe(text), "next"])
    stream.seek(0)
    ((cell, following),) = list(csv.reader(stream))
    assert following == "next"
    begin = cell.lstrip()
    if begin and begin[0] in "=+-@":
        float(begin.rstrip("%"))


@given(st.text(st.characters(codec=None), max_size=300), st.integers(1, 50))
def test_one_line_is_one_line_within_its_limit(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert len(line) <= limit
    assert len(line.splitlines()) <= 1
    assert terminal_safe(line) == line


def test_what_is_cut_shows() -> None:
    assert one_line("a  b\n\nc", 20) == "a b c"
    assert one_line("abcdefgh", 5) == "abcd…"
    assert one_line("x" * 10_000_000, 10) == "xxxxxxxxx…"
    assert one_line(" " * 100_000 + "x", 10) == "…"
