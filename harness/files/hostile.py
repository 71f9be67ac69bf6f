"""Text that a model wrote, made harmless for the place where it is shown.

HTML is escaped by Jinja2's autoescape; the terminal, a CSV cell and a single line are done here.
"""

from __future__ import annotations

import re
import unicodedata

#: ANSI and VT escape sequences: CSI (ESC [ ...), OSC and other strings up to BEL or ST, two-byte
#: escapes, and their one-byte C1 forms (ECMA-48; xterm control sequences). A string without an
#: end loses its beginning only: an answer must not be able to hide the rest of itself.
_ESCAPE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]?",
    re.DOTALL,
)
#: Bidirectional controls reorder what a reader sees (CVE-2021-42574, "Trojan Source").
_BIDI = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
#: Marks that have no width: two different names would look the same.
_INVISIBLE = set("\u200b\u2060\u2061\u2062\u2063\u2064\ufeff\u00ad\u180e")
_KEPT = {"\n", "\t"}
_NOT_PLAIN = re.compile(r"[^\n\t -~]")
#: A cell that begins with one of these may be run as a formula (OWASP, "CSV Injection").
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?%?")


def terminal_safe(text: str) -> str:
    """``text`` without escape sequences and control codes; bidirectional and invisible marks shown.

    Newlines and tabs stay. ``"\\x1b[2Jhello\\u202e"`` becomes ``"hello<U+202E>"``. Markup of a
    terminal library (rich's ``[bold]``) is for the caller to escape.
    """
    if _NOT_PLAIN.search(text) is None:
        return text
    text = _ESCAPE.sub("", text.replace("\r\n", "\n"))
    return _NOT_PLAIN.sub(lambda match: _shown(match[0]), text)


def _shown(character: str) -> str:
    if character in _KEPT or " " <= character <= "~":
        return character
    if character in _BIDI or character in _INVISIBLE:
        return f"<U+{ord(character):04X}>"
    category = unicodedata.category(character)
    if category == "Cc":
        return ""
    if category in {"Zl", "Zp"}:
        return "\n"
    if category in {"Cs", "Co", "Cn"} or "\U000e0000" <= character <= "\U000e0fff":
        return f"<U+{ord(character):04X}>"
    return character


def csv_safe(cell: object) -> str:
    """A cell that no spreadsheet runs: a leading ``= + - @``, tab or CR gets an apostrophe before.

    Numbers (``-0.5``, ``+1e-3``) stay numbers; NUL and other control codes go; None is empty.
    Quoting of commas, quotes and newlines is the ``csv`` module's.
    """
    if cell is None:
        return ""
    if isinstance(cell, bool | int | float):
        return str(cell)
    raw = str(cell)
    text = terminal_safe(raw)
    if _NUMBER.fullmatch(text):
        return text
    # Spreadsheets strip white space before they look for a formula; so does this test.
    risky = raw.startswith(_FORMULA) or text.lstrip(" \n\t\u00a0").startswith(_FORMULA)
    return f"'{text}" if risky else text


def one_line(text: str, limit: int = 200) -> str:
    """``text`` on one line of at most ``limit`` characters, safe for the terminal.

    Runs of white space become one space; what is cut shows as an ellipsis.
    """
    # Cut first: an answer of megabytes is not worth cleaning to its end.
    begin = text[: 20 * limit + 1000]
    line = " ".join(terminal_safe(begin).split())
    if len(line) <= limit and len(begin) == len(text):
        return line
    return line[: max(limit - 1, 0)].rstrip() + "…"
