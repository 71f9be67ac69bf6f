"""Everything in docs/python.md runs as it stands there, one block after the other."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

import steelyard
from tests.integration.conftest import run_here

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, flags=re.DOTALL)


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The names that are bound once every block has run in a folder of its own."""
    folder = tmp_path_factory.mktemp("notebook")
    (command,) = "".join(blocks("bash")).splitlines()
    words = shlex.split(command)[1:]
    done = run_here(*words, cwd=folder)
    assert done.returncode == 0, done.stderr
    names: dict[str, Any] = {"folder": folder}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for number, block in enumerate(blocks("python"), start=1):
            exec(compile(block, f"docs/python.md, block {number}", "exec"), names)
    return names


def test_the_blocks_come_to_what_the_text_says(notebook: dict[str, Any]) -> None:
    assert set(notebook["result"].candidates) == {"lora", "pruned"}
    assert notebook["verdict"].verdict == "fail"
    assert notebook["comparison"].comparable
    assert (notebook["paired"].verdict, notebook["early"].verdict) == ("not_worse", "pass")
    assert notebook["early"].used < notebook["early"].total
    assert {path.name for path in (notebook["folder"] / "report").iterdir()} == {
        "report.html",
        "report.csv",
    }


def test_what_the_guide_calls_a_column_is_one(notebook: dict[str, Any]) -> None:
    run = notebook["run"]
    for table in ("scores", "rows", "samples", "energy"):
        (line,) = (line for line in GUIDE.splitlines() if line.startswith(f"| `{table}`"))
        columns = set(re.findall(r"`(\w+)`", line)) - {table}
        assert columns <= set(getattr(run, table).columns)


def test_every_public_name_in_the_guide_is_there() -> None:
    for name in re.findall(r"steelyard\.([A-Za-z_]+)", GUIDE):
        assert name in ("typed", "json", *steelyard._HOMES), name
