"""The contracts on imports (pyproject, ``[tool.importlinter]``): they hold, and each can break."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("harness", "reports", "tasks", "trainers")
STORE = "from steelyard.harness.store"


def contracts_hold(tree: Path) -> tuple[bool, str]:
    """Whether all contracts hold for the ``steelyard`` in ``tree``, and what the tool prints."""
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    config = str(ROOT / "pyproject.toml")
    ended = subprocess.run(
        [sys.executable, "-c", code, "--config", config, "--no-cache"],
        cwd=tree,
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.returncode == 0, ended.stdout + ended.stderr


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The folders under their import name; ``harness/store`` is a folder of links of its own."""
    house = tmp_path / "steelyard"
    house.mkdir()
    for path in (ROOT / "steelyard").glob("*.py"):
        (house / path.name).symlink_to(path)
    for folder in FOLDERS[1:]:
        (house / folder).symlink_to(ROOT / folder)
    (house / "harness" / "store").mkdir(parents=True)
    for place in (Path("harness"), Path("harness", "store")):
        for path in (ROOT / place).iterdir():
            if path.name not in ("store", "__pycache__"):
                (house / place / path.name).symlink_to(path)
    return tmp_path


def planted(tree: Path, **modules: str) -> tuple[bool, str]:
    for name, text in modules.items():
        (tree / "steelyard" / "harness" / "store" / f"{name}.py").write_text(text, "utf-8")
    return contracts_hold(tree)


def test_the_rooms_stand_in_order_and_hold_no_circle(tree: Path) -> None:
    hold, shown = contracts_hold(tree)
    assert hold, shown


def test_a_circle_of_two_modules_breaks_the_contract(tree: Path) -> None:
    hold, shown = planted(tree, one=f"{STORE} import two\n", two=f"{STORE} import one\n")
    assert not hold
    assert "No cycles are allowed in steelyard.harness.store" in shown


def test_a_circle_breaks_the_contract_where_one_side_is_only_a_type(tree: Path) -> None:
    only_a_type = f"from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    {STORE} import one\n"
    hold, shown = planted(tree, one=f"{STORE} import two\n", two=only_a_type)
    assert not hold
    assert "No cycles are allowed in steelyard.harness.store" in shown


def test_an_import_within_a_function_that_goes_up_breaks_the_contract(tree: Path) -> None:
    upward = "def f():\n    from steelyard.harness.gate import Gate\n    return Gate\n"
    hold, shown = planted(tree, one=upward)
    assert not hold
    assert "steelyard.harness.store is not allowed to import steelyard.harness.gate" in shown
