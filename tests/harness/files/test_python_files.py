"""A Python file of a user's is another where a module that it imports beside it is another."""

from __future__ import annotations

from pathlib import Path

import pytest

from steelyard.harness.files import code_digest, file_digest
from steelyard.harness.files.python_files import modules_beside
from steelyard.harness.suites.build import build
from steelyard.harness.suites.suite import load_suite
from steelyard.trainers.loops.rewards import Function, source_of

TASK = """\
task: mine
dataset_path: json
dataset_kwargs: {{data_files: {{test: "{folder}/d.jsonl"}}}}
test_split: test
output_type: multiple_choice
doc_to_text: !function utils.prompt
doc_to_choice: ["a", "b"]
doc_to_target: "{{{{y}}}}"
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
"""
UTILS = """\
import os, sys
sys.path.insert(0, os.path.dirname(__file__))
from words_of_this_test import ASKED


def prompt(doc):
    return ASKED + doc["q"]
"""


def test_a_task_whose_helper_changed_is_another_task(tmp_path: Path) -> None:
    # huggingface/datasets #3297, mrilikecoding/llm-orc #162: the same digest for two wordings.
    (tmp_path / "mine.yaml").write_text(TASK.format(folder=tmp_path))
    (tmp_path / "d.jsonl").write_text('{"q": "x", "y": 0}\n{"q": "z", "y": 1}\n')
    (tmp_path / "utils.py").write_text(UTILS)
    digests = []
    for wording in ("Question: ", "Q: ", "Question: "):
        (tmp_path / "words_of_this_test.py").write_text(f"ASKED = {wording!r}\n")
        suite = load_suite({"tasks": ["mine"], "include": [str(tmp_path)]}, folder=tmp_path)
        digests.append(build(suite).tasks[0].task_digest)
    assert digests[0] == digests[2] != digests[1]


def test_a_reward_whose_helper_changed_is_another_reward(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "rewards_of_this_test"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "polite.py").write_text(
        "from rewards_of_this_test.rules import RULE\nfrom . import more\n\n"
        "def polite(completions, **_):\n    return [1.0] * len(completions)\n"
    )
    (package / "rules.py").write_text("RULE = 1\n")
    (package / "more.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    reward = Function(reward="function", name="rewards_of_this_test.polite:polite", weight=1.0)
    before = source_of(reward)
    (package / "rules.py").write_text("RULE = 2\n")
    after = source_of(reward)
    (package / "more.py").write_text("MORE = 1\n")
    assert len({before, after, source_of(reward)}) == 3


def test_imports_are_followed_to_the_last_one_and_round_a_ring(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import os\ndef f():\n    from b import x\n")
    (tmp_path / "b.py").write_text("import c, numpy\n")
    (tmp_path / "c.py").write_text("import a, b\n")
    (tmp_path / "d.py").write_text("import a\n")
    assert set(modules_beside(tmp_path / "a.py")) == {"b", "c"}


def test_a_file_that_imports_nothing_of_its_own_is_its_bytes(tmp_path: Path) -> None:
    for text in ("import json\nfrom pathlib import Path\n", "def broken(:\n"):
        file = tmp_path / "a.py"
        file.write_text(text)
        assert code_digest(file) == file_digest(file)


def test_no_task_of_ours_has_another_digest_than_before() -> None:
    house = Path(__file__).resolve().parents[3]
    ours = [*(house / "tasks").rglob("*.py"), *(house / "examples").rglob("*.py")]
    assert [str(file) for file in ours if modules_beside(file)] == []


def test_what_is_installed_is_told_by_its_version(tmp_path: Path) -> None:
    folder = tmp_path / "site-packages" / "tasks"
    folder.mkdir(parents=True)
    (folder / "utils.py").write_text("import rules\n")
    (folder / "rules.py").write_text("")
    assert modules_beside(folder / "utils.py") == {}
