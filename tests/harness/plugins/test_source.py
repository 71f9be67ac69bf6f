"""A plugin's digest covers what it runs, and nothing else that lies beside it."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from steelyard.harness.plugins.names import load_trainer, plugin_names
from steelyard.harness.plugins.source import source_digest, source_files

MODULES = {
    "__init__.py": "",
    "method.py": (
        "from typing import TYPE_CHECKING\n"
        "from steelyard.harness.plugins.protocols import Trainer\n"
        "from closure_of_a_team.base import Base\n"
        "if TYPE_CHECKING:\n    from closure_of_a_team import types_alone\n"
        "class Method(Base):\n"
        "    def train(self, job):\n"
        "        from . import loops\n"
        "        return loops.run(job)\n"
    ),
    "base.py": (
        "from steelyard.harness.plugins.protocols import Trainer\n"
        "from closure_of_a_team.shared.options import DEFAULT\n"
        "class Base(Trainer):\n    start: float = DEFAULT\n"
    ),
    "loops.py": "from .shared import watch\ndef run(job):\n    return watch.look(job)\n",
    "types_alone.py": "class Nothing: ...\n",
    "unrelated.py": "x = 1\n",
    "shared/__init__.py": "",
    "shared/options.py": "DEFAULT = 1.0\n",
    "shared/watch.py": "def look(job):\n    return job\n",
}
RUN = ("__init__", "method", "base", "loops", "shared/__init__", "shared/options", "shared/watch")


@pytest.fixture
def digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """The digest of a trainer in the package ``closure_of_a_team``, as its files are now."""
    for name, text in MODULES.items():
        file = tmp_path / "closure_of_a_team" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    for name in [n for n in sys.modules if n.startswith("closure_of_a_team")]:
        monkeypatch.delitem(sys.modules, name)
    method = importlib.import_module("closure_of_a_team.method").Method
    return lambda: source_digest(method)


@pytest.mark.parametrize("module", RUN)
def test_a_change_in_what_a_trainer_imports_is_another_trainer(
    digest: Callable[[], str], tmp_path: Path, module: str
) -> None:
    before = digest()
    file = tmp_path / "closure_of_a_team" / f"{module}.py"
    file.write_text(file.read_text() + "\nchanged = True\n")
    assert digest() != before


def test_a_file_beside_it_that_is_not_run_changes_nothing(
    digest: Callable[[], str], tmp_path: Path
) -> None:
    before = digest()
    package = tmp_path / "closure_of_a_team"
    (package / "new_method.py").write_text("y = 2\n")
    for module in ("unrelated", "types_alone"):
        (package / f"{module}.py").write_text("changed = True\n")
    assert digest() == before


def test_a_new_import_brings_the_module_in(digest: Callable[[], str], tmp_path: Path) -> None:
    package = tmp_path / "closure_of_a_team"
    loops = package / "loops.py"
    loops.write_text("from closure_of_a_team import unrelated\n" + loops.read_text())
    before = digest()
    (package / "unrelated.py").write_text("x = 2\n")
    assert digest() != before


def test_each_of_our_trainers_stands_on_its_own_file_and_not_on_another_method_s() -> None:
    methods = {name: load_trainer(name) for name in plugin_names("trainers")}
    files = {name: set(source_files(trainer)) for name, trainer in methods.items()}
    for name, trainer in methods.items():
        assert trainer.__module__ in files[name]
    assert "steelyard.trainers.dpo" not in files["lora"]
    assert "steelyard.trainers.loops.supervised" in files["lora"]
    assert "steelyard.trainers.loops.rewards" in files["grpo"]
    assert "steelyard.trainers.weights.rounding" in files["quantize"]
    assert not {module for name in files for module in files[name] if ".harness" in module}


def test_what_a_training_loads_of_the_trainers_lies_within_the_digest() -> None:
    """The modules that are loaded once everything was imported, held against the closure."""
    code = (
        "import sys\n"
        "from steelyard.harness.plugins.names import load_trainer\n"
        "from steelyard.harness.plugins.source import source_files\n"
        "name = sys.argv[1]\n"
        "files = set(source_files(load_trainer(name)))\n"
        "import importlib\n"
        "for module in sorted(files): importlib.import_module(module)\n"
        "loaded = {m for m in sys.modules if m.startswith('steelyard.trainers')}\n"
        "print(sorted(loaded - files))\n"
    )
    for name in ("lora", "grpo", "quantize"):
        done = subprocess.run(
            [sys.executable, "-c", code, name], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == "[]", name
