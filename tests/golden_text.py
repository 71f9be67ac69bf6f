"""Whole outputs held line by line against files in ``tests/golden``, and how they are renewed.

``pytest tests/golden --golden-update`` writes what the code prints now and shows what changed; read
the difference before you commit it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent / "golden"
OPTION = "--golden-update"

Golden = Callable[[str, str], None]


def difference(name: str, before: str, now: str) -> str:
    """What changed, as `diff -u` shows it; empty where nothing did."""
    lines = difflib.unified_diff(
        before.splitlines(), now.splitlines(), f"tests/golden/{name}", "printed now", lineterm=""
    )
    return "\n".join(lines)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """``golden(file, text)``: the text is the file's, line by line, or the file is renewed."""

    def hold(name: str, text: str) -> None:
        # A terminal's tables end in blanks, which no reader sees and every editor takes away.
        now = "".join(f"{line.rstrip()}\n" for line in text.splitlines())
        path = FOLDER / name
        before = path.read_text(encoding="utf-8") if path.is_file() else ""
        changed = difference(name, before, now)
        if not changed:
            return
        if not request.config.getoption(OPTION):
            pytest.fail(f"{changed}\nif this is meant: pytest tests/golden {OPTION}", pytrace=False)
        path.write_text(now, encoding="utf-8", newline="\n")
        reporter = request.config.pluginmanager.getplugin("terminalreporter")
        if reporter is not None:
            reporter.write_line(f"\n{changed}\n")

    return hold
