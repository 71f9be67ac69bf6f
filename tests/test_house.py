"""docs/house.md is held against the tree: every room, in the order that CI holds, with its job."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOC = (ROOT / "docs" / "house.md").read_text(encoding="utf-8")
FOLDERS = ("trainers", "tasks", "reports")


def job_of(path: Path) -> str:
    """The first sentence of a room's docstring."""
    file = path / "__init__.py" if path.is_dir() else path
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return " ".join(docstring.partition("\n\n")[0].split())


def rooms_from_the_ground() -> list[Path]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    layers = next(contract["layers"] for contract in contracts if contract["id"] == "rooms")
    harness = [ROOT / "harness" / name for name in reversed(layers)]
    paths = [path if path.is_dir() else path.with_suffix(".py") for path in harness]
    return [*paths[:-1], *(ROOT / name for name in FOLDERS), paths[-1], ROOT / "steelyard"]


def inner_folders(room: Path) -> list[Path]:
    found = sorted(path.parent for path in room.glob("*/**/__init__.py")) if room.is_dir() else []
    return [path for path in found if "migrations" not in path.parts]


def expected_rows() -> list[str]:
    rows = []
    for room in rooms_from_the_ground():
        for path in (room, *inner_folders(room)):
            name = path.relative_to(ROOT).as_posix() + ("/" if path.is_dir() else "")
            rows.append(f"| `{name}` | {job_of(path)} |")
    return rows


def test_the_table_of_rooms_is_the_tree_in_the_order_of_the_contract() -> None:
    table = re.search(r"\| room \| its job \|\n\|---\|---\|\n(.*?)\n\n", DOC, re.DOTALL)
    assert table is not None
    assert table.group(1).splitlines() == expected_rows()


def test_every_room_says_its_one_job() -> None:
    for room in rooms_from_the_ground():
        for path in (room, *inner_folders(room)):
            assert len(job_of(path)) > 20, path


def test_the_places_that_the_guide_names_exist() -> None:
    for name in re.findall(r"`((?:harness|tasks|trainers|reports|steelyard|tests)/[\w/.]*)`", DOC):
        assert (ROOT / name).exists(), name


def test_pre_commit_runs_what_the_lint_of_ci_runs() -> None:
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    lint = makefile.partition("\nlint:")[2].partition("\n\n")[0]
    commands = {line.strip().removeprefix("$(BIN)/") for line in lint.splitlines()[1:]}
    assert commands == {"ruff check .", "ruff format --check ."}
    assert "contract" in lint.splitlines()[0]
    for entry in ("ruff check", "ruff format --check", "make --silent contract"):
        assert entry in hooks


def test_every_test_that_the_page_on_wrong_numbers_names_exists() -> None:
    names: dict[str, set[str]] = {}
    for file in (ROOT / "tests").rglob("test_*.py"):
        defined = re.findall(r"^def (test_\w+)", file.read_text(encoding="utf-8"), re.MULTILINE)
        names.setdefault(file.name, set()).update(defined)
    page = (ROOT / "docs" / "correctness.md").read_text(encoding="utf-8")
    rows = [row for row in page.splitlines() if row.startswith("|")]
    missing = []
    for row in rows:
        module = ""
        for path, test in re.findall(r"`([\w/.]*)::(test_\w+)", row):
            module = path.rpartition("/")[2] or module  # `::test_b` is in the file named before it
            missing += [f"{module}::{test}"] if test not in names.get(module, ()) else []
    assert len(rows) > 50 and missing == []
