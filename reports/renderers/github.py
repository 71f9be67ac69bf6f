"""The gate as GitHub workflow commands: one annotation a rule that does not simply pass.

Escaping is that of GitHub's documentation ("Workflow commands for GitHub Actions") and of its
runner, ``ActionCommand.cs``: ``%``, CR and LF in data; ``:`` and ``,`` too in properties.
"""

from __future__ import annotations

import hashlib
from typing import ClassVar, Literal

from steelyard.harness.files import one_line, terminal_safe
from steelyard.harness.plugins import Plugin
from steelyard.reports.document import Document, Rule, Rules

Level = Literal["error", "warning", "notice"]

_LEVELS: tuple[Level, ...] = ("error", "warning", "notice")
_TITLE_CHARACTERS = 250
_MESSAGE_CHARACTERS = 4_000


class Github(Plugin):
    """Errors first: GitHub shows ten annotations of each level a step."""

    suffix: ClassVar[str] = ".txt"

    def render(self, document: Document) -> str:
        """One line a rule that fails, warns, is not comparable or inconclusive; else nothing."""
        rules = [
            r for _, block in document.blocks() if isinstance(block, Rules) for r in block.items
        ]
        marked = [(_level(rule), rule) for rule in rules if rule.outcome != "passed"]
        marked.sort(key=lambda pair: _LEVELS.index(pair[0]))
        return "".join(
            annotation(level, f"{rule.candidate}: {rule.rule}", f"{rule.word}: {rule.why}")
            for level, rule in marked
        )


def annotation(level: Level, title: str, message: str) -> str:
    """One workflow command, on a line of its own."""
    shown = property_escaped(one_line(title, _TITLE_CHARACTERS))
    text = data_escaped(terminal_safe(message[:_MESSAGE_CHARACTERS]).strip())
    return f"::{level} title={shown}::{text}\n"


def data_escaped(text: str) -> str:
    """What follows the second ``::`` of a command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def property_escaped(text: str) -> str:
    """The value of one of a command's properties."""
    return data_escaped(text).replace(":", "%3A").replace(",", "%2C")


def shields(text: str) -> tuple[str, str]:
    """The lines before and behind ``text`` that stop GitHub's runner from obeying commands in it.

    The runner reads standard output for commands (``::add-mask::x``, ``##[group]``), and a report
    holds model output. The token is a digest of the text, which no text can hold of itself.
    """
    token = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
    end = "" if text.endswith("\n") else "\n"
    return f"::stop-commands::{token}\n", f"{end}::{token}::\n"


def shielded(text: str) -> str:
    """``text`` between its :func:`shields`."""
    begin, end = shields(text)
    return f"{begin}{text}{end}"


def shielded_json(text: str) -> str:
    r"""The same JSON document in which the runner finds no command.

    Lines of an indented document begin with quotes, never with ``::``; the runner's older
    ``##[command]`` counts anywhere in a line, and in JSON can stand in a string only.
    """
    return text.replace("##[", r"#\u0023[")


def _level(rule: Rule) -> Level:
    if rule.outcome in ("failed", "error"):
        return "error"
    return "warning" if rule.outcome == "warned" and rule.tier != "report" else "notice"
