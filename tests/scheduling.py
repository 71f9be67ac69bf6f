"""Which tests run first, and which by one process, where several share the work.

What is long stands first: a long file that begins last leaves the other core with nothing to do.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
#: Fixtures of a session that take long to make: a process makes each once, so that the files of
#: tests that ask for one belong to one process.
SHARED = re.compile(r"^def test_\w+\([^)]*\b(demo|tiny)\b[:,)]", re.MULTILINE)


def slow_files_first(items: list[pytest.Item]) -> None:
    """Put the files that hold slow tests before the others; within a file nothing moves."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@cache
def share(file: str) -> str:
    """What one process runs together: a file, or all files that ask for one fixture."""
    path = ROOT / file
    match = SHARED.search(path.read_text(encoding="utf-8")) if path.is_file() else None
    return file if match is None else f"{path.parent.name} with {match[1]}"


def scheduler(config: pytest.Config, log: Any) -> Any:
    """xdist's scheduler of whole files, in the order in which the tests were collected."""
    from xdist.scheduler import LoadFileScheduling

    class Shares(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return share(super()._split_scope(nodeid))

    config.option.loadscopereorder = False  # by the number of tests: the longest have few
    return Shares(config, log)
