"""The house: which way imports go, what the command loads, where things lie."""

from __future__ import annotations

import ast
import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("harness", "tasks", "trainers", "reports")
HEAVY = {"torch", "transformers", "lm_eval", "evaluate", "pandas", "numpy", "trl", "peft"}

#: Who may import whom (DESIGN, "the house"); the composition root may import everything.
ALLOWED = {
    "harness": {"harness"},
    "tasks": {"harness", "tasks"},
    "trainers": {"harness", "trainers"},
    "reports": {"harness", "reports"},
    "steelyard.harness.cli": {"harness", "tasks", "trainers", "reports"},
}


def sources() -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_no_import_runs_against_the_stream() -> None:
    wrong = []
    for path in sources():
        relative = path.relative_to(ROOT)
        house = relative.parts[0]
        in_cli = relative.parts[:2] == ("harness", "cli")
        allowed = ALLOWED["steelyard.harness.cli" if in_cli else house]
        for name in imported(path):
            top = name.partition(".")[0]
            if top in PACKAGES and top not in allowed:
                wrong.append(f"{relative} imports {name}")
            if name.startswith("steelyard.harness.cli") and not in_cli:
                wrong.append(f"{relative} imports the composition root")
    assert not wrong


def test_records_import_only_errors_of_the_house() -> None:
    rooms = ("steelyard.harness.errors", "steelyard.harness.records")
    names = {n for p in (ROOT / "harness" / "records").rglob("*.py") for n in imported(p)}
    assert all(name.startswith(rooms) for name in names if name.startswith("steelyard"))


def test_modules_are_short_enough_to_hold_in_the_head() -> None:
    too_long = [str(p.relative_to(ROOT)) for p in sources() if p.stat().st_size > 24_000]
    assert not too_long


def test_nothing_unpickles_or_trusts_remote_code() -> None:
    for path in sources():
        text = path.read_text(encoding="utf-8")
        assert "trust_remote_code=True" not in text, path
        assert not {n for n in imported(path) if n.split(".")[0] in {"pickle", "dill"}}, path


def test_the_help_page_loads_none_of_the_heavy_libraries() -> None:
    code = (
        "import sys, json\n"
        "sys.argv = ['steelyard', '--help']\n"
        "from steelyard.harness.cli.main import main\n"
        "try:\n    main()\n"
        "except SystemExit:\n    pass\n"
        "print('\\n' + json.dumps(sorted(m for m in sys.modules if '.' not in m)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert "typer" in loaded
    assert not loaded & HEAVY


@pytest.mark.slow
def test_the_help_page_costs_at_most_three_tenths_of_a_second() -> None:
    # Of processor time: what one waits on an idle machine, and a busy one cannot fail it.
    def seconds(*command: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *command], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    bare = min(seconds("-c", "pass") for _ in range(9))
    page = min(seconds("-m", "steelyard.harness.cli.main", "--help") for _ in range(9))
    assert page - bare <= 0.3


#: What a record says in words, for people, and names that have a structure of their own.
_PROSE = frozenset(
    {"note", "notes", "why", "summary", "detail", "claim", "text", "message", "rule", "label",
     "method", "decoding", "reference", "metric", "flags", "responses", "candidate", "stage"}
)  # fmt: skip
#: Of these a variable's name is telling enough.
_PROSE_BY_ITSELF = frozenset({"note", "why", "metric", "claim"})
_TAKES_APART = frozenset(
    {"startswith", "endswith", "removeprefix", "removesuffix", "partition", "rpartition",
     "split", "rsplit"}
)  # fmt: skip
#: Where words are made and read back, side by side; and the first version, which had words only.
_CODECS = ("harness/records/words.py", "harness/files/version_1.py")
_ALLOWED = {
    # A name that another tool gave its metric says its kind; read once, when it is imported.
    ("harness/imports/every_eval_ever.py", "metric.startswith"),
}


def said_of_a_record(node: ast.expr | None) -> str | None:
    """The word where an expression is a record's prose: ``score.note or ""``, ``metric``."""
    while isinstance(node, ast.BoolOp):
        node = node.values[0]
    while isinstance(node, ast.Subscript):
        node = node.value
    if isinstance(node, ast.Attribute):
        return node.attr if node.attr in _PROSE else None
    return node.id if isinstance(node, ast.Name) and node.id in _PROSE_BY_ITSELF else None


def prose_taken_apart(path: Path) -> list[str]:
    """Each place that asks how a record's words begin, end or go on."""
    places = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            word = said_of_a_record(node.func.value)
            if word and node.func.attr in _TAKES_APART:
                places.append(f"{word}.{node.func.attr}")
        elif isinstance(node, ast.Compare) and isinstance(node.left, ast.Constant):
            inside = isinstance(node.ops[0], ast.In | ast.NotIn)
            word = said_of_a_record(node.comparators[0])
            if inside and isinstance(node.left.value, str) and word in {"note", "why", "metric"}:
                places.append(f"in {word}")
    return places


def test_no_one_reads_a_fact_from_a_records_words() -> None:
    relative = {path: path.relative_to(ROOT).as_posix() for path in sources()}
    places = {
        (name, place)
        for path, name in relative.items()
        if name not in _CODECS
        for place in prose_taken_apart(path)
    }
    assert places == _ALLOWED


def test_a_place_that_reads_words_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "x.py"
    file.write_text('(s.note or "").startswith("advisory")\n"bits_per_" in score.metric\nm.x[0]\n')
    assert prose_taken_apart(file) == ["note.startswith", "in metric"]
