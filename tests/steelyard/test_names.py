"""What `import steelyard` gives: every public name, on first use, and nothing heavy before."""

from __future__ import annotations

import ast
import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

import steelyard

HEAVY = {"torch", "transformers", "lm_eval", "evaluate", "pandas", "numpy", "scipy", "datasets"}
FACE = Path(steelyard.__file__)
CALLS = ("run", "evaluate", "load", "compare", "gate", "report", "open_model", "table")


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def typed_names() -> dict[str, str]:
    """Name -> module, as a type checker reads them."""
    tree = ast.parse(FACE.read_text(encoding="utf-8"))
    guards = [node for node in tree.body if isinstance(node, ast.If)]
    block = next(node for node in guards if ast.unparse(node.test) == "TYPE_CHECKING")
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.asname or "": node.module or "" for node in imports for alias in node.names}


def test_importing_loads_nothing_heavy() -> None:
    modules = json.loads(
        python("import steelyard, sys, json; print(json.dumps(sorted(sys.modules)))")
    )
    assert not {name.partition(".")[0] for name in modules} & (HEAVY | {"pydantic", "typer"})
    assert [name for name in modules if name.startswith("steelyard")] == ["steelyard"]


def test_gating_in_a_program_needs_no_model_library() -> None:
    code = (
        "import steelyard, sys\n"
        "steelyard.gate, steelyard.compare, steelyard.load, steelyard.run, steelyard.evaluate\n"
        "print({name for name in ('torch', 'transformers', 'lm_eval') if name in sys.modules})"
    )
    assert python(code).strip() == "set()"


def test_a_type_checker_and_a_program_see_the_same_names() -> None:
    assert typed_names() == steelyard._HOMES


@pytest.mark.parametrize("name", sorted(steelyard._HOMES))
def test_every_name_is_there_and_documented(name: str) -> None:
    value = getattr(steelyard, name)
    assert inspect.getdoc(value)
    assert name in dir(steelyard)


@pytest.mark.parametrize("name", CALLS)
def test_every_call_says_its_types_and_shows_an_example(name: str) -> None:
    call = getattr(steelyard, name)
    signature = inspect.signature(call)
    assert signature.return_annotation is not inspect.Signature.empty
    assert all(p.annotation is not p.empty for p in signature.parameters.values())
    assert f"steelyard.{name}(" in (inspect.getdoc(call) or "")


def test_a_misspelt_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'evalute'"):
        steelyard.evalute  # noqa: B018


def test_the_package_is_typed() -> None:
    assert FACE.with_name("py.typed").is_file()


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "steelyard", "--help"], capture_output=True, text=True, check=True
    )
    assert "Start with: steelyard demo" in done.stdout
