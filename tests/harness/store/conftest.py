"""The examples of ``writer.py``, which also runs as a process of its own."""

from __future__ import annotations

import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

WRITER = Path(__file__).with_name("writer.py")


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """``make.run(...)``, ``make.rows(...)``, ... as in ``writer.py``."""
    module = runpy.run_path(str(WRITER))
    return SimpleNamespace(
        **{name.removeprefix("make_"): f for name, f in module.items() if name.startswith("make_")}
    )


@pytest.fixture
def start_writer() -> Callable[..., subprocess.Popen[str]]:
    """Starts a process that writes ``count`` runs into ``root``."""

    def start(root: Path, prefix: str = "w", count: int = 10_000) -> subprocess.Popen[str]:
        command = [sys.executable, str(WRITER), str(root), prefix, str(count)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    return start
