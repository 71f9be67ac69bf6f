"""Long files begin first, and files that share a long fixture are run by one process."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.scheduling import share, slow_files_first


def item(file: str, name: str, *, slow: bool = False) -> Any:
    marker = object() if slow else None
    return SimpleNamespace(path=Path(file), name=name, get_closest_marker=lambda _: marker)


def test_a_file_with_a_slow_test_comes_first_and_keeps_its_order() -> None:
    items = [item("a.py", "1"), item("b.py", "2"), item("b.py", "3", slow=True), item("a.py", "4")]
    slow_files_first(items)
    assert [each.name for each in items] == ["2", "3", "1", "4"]


def test_the_files_that_ask_for_the_demo_or_the_tiny_run_are_one_share() -> None:
    folder = "tests/integration"
    assert share(f"{folder}/test_demo.py") == share(f"{folder}/test_readme.py")
    assert share(f"{folder}/test_killed_runs.py") == share(f"{folder}/test_tiny_run.py")
    assert share(f"{folder}/test_demo.py") != share(f"{folder}/test_tiny_run.py")
    assert share("tests/test_house.py") == "tests/test_house.py"
