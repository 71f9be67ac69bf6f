"""What lies in the working folder is not imported, neither here nor by what is started."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from steelyard.harness.interpreters import (
    leave_out_working_folder,
    safe_environment,
    safe_interpreters,
)
from tests.harness.planted import plant, ran

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    return plant(tmp_path)


@pytest.fixture
def unsafe(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a user starts it: the tests themselves are run with PYTHONSAFEPATH."""
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)


@pytest.mark.parametrize("module", ["steelyard", "steelyard.harness.cli.main"])
def test_the_command_imports_nothing_from_the_working_folder(
    unsafe: None, planted: Path, module: str
) -> None:
    command = [sys.executable, "-m", module, "--version"]
    done = subprocess.run(command, cwd=planted, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("steelyard ")
    assert not ran(planted)


def test_a_module_that_is_planted_there_would_run(unsafe: None, planted: Path) -> None:
    subprocess.run([sys.executable, "-c", "import json"], cwd=planted, check=True)
    assert ran(planted)


def test_a_python_that_libraries_start_looks_there_neither(unsafe: None, planted: Path) -> None:
    command = [sys.executable, "-c", "import json"]
    with safe_interpreters():
        subprocess.run(command, cwd=planted, check=True)
    assert not ran(planted)
    assert "PYTHONSAFEPATH" not in os.environ


def test_an_empty_entry_of_pythonpath_is_the_working_folder_and_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for given, kept in ((f"{os.pathsep}/a{os.pathsep}", "/a"), (f".{os.pathsep}/a", ".:/a")):
        monkeypatch.setenv("PYTHONPATH", given)
        assert safe_environment()["PYTHONPATH"] == kept
    monkeypatch.setenv("PYTHONPATH", os.pathsep)
    assert "PYTHONPATH" not in safe_environment()
    assert safe_environment()["PYTHONSAFEPATH"] == "1"


def test_the_commands_own_path_loses_the_working_folder_unless_it_was_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for named, there in (("", False), (str(tmp_path), True), (".", True)):
        monkeypatch.setenv("PYTHONPATH", named)
        monkeypatch.setattr(sys, "path", ["", str(tmp_path), "/elsewhere"])
        leave_out_working_folder()
        assert (str(tmp_path) in sys.path) is there
        assert "/elsewhere" in sys.path


def test_every_python_that_the_house_starts_gets_that_environment() -> None:
    starts = re.compile(r"sys\.executable|str\(python\)|get_context\(|context\.Process\(|JobConfig")
    safe = re.compile(r"safe_environment\(|safe_interpreters\(|\"-I\"")
    starters = {
        path.relative_to(ROOT).as_posix(): bool(safe.search(path.read_text()))
        for room in ("harness", "trainers", "tasks", "reports", "steelyard")
        for path in (ROOT / room).rglob("*.py")
        if starts.search(path.read_text())
    }
    assert starters, "somebody starts one"
    assert [name for name, is_safe in starters.items() if not is_safe] == []


@pytest.mark.slow
def test_neither_a_check_nor_a_worker_imports_from_the_working_folder(
    unsafe: None, planted: Path
) -> None:
    script = (
        "import sys\n"
        "sys.path[:] = [p for p in sys.path if p]\n"
        "from multiprocessing import get_context\n"
        "from steelyard.harness.checkpoints import fresh_process\n"
        "from steelyard.harness.pipeline.executors import machine, starting\n"
        "started = fresh_process._new_interpreter()\n"
        "context = starting.context_for(machine.Machine(2, None), 1)\n"
        "started.requests.close()\n"
        "started.died()\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=planted, check=True)
    assert not ran(planted)
