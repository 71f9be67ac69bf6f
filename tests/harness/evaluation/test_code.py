"""What a score or an answer depends on stands in its key: the imports of evaluation, by room."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from steelyard.harness.environment import LIBRARIES
from steelyard.harness.evaluation.code import ANSWER_ROOMS, HOUSE, SCORE_ROOMS, rooms_digest

#: Imported with every module below it; names what is public and computes nothing.
FACE = "steelyard"

STATIC = """
import grimp, json
graph = grimp.build_graph("steelyard", cache_dir=None)
rooms = ("steelyard.harness.evaluation", "steelyard.tasks")
roots = {module for module in graph.modules if module.startswith(rooms)}
reached = set(roots).union(*(graph.find_upstream_modules(root) for root in roots))
print(json.dumps(sorted(reached)))
"""

RUN = """
import json, sys, tempfile
from pathlib import Path
from tests.harness.toy_suite import Answering, checkpoint, write_suite

folder = Path(tempfile.mkdtemp())
suite_file = write_suite(folder)
before = {m for m in sys.modules if m.partition(".")[0] == "steelyard"}

from steelyard.harness.checkpoints import open_base
from steelyard.harness.evaluation.contamination.marks import marked
from steelyard.harness.evaluation.contamination.overlaps import Overlaps
from steelyard.harness.evaluation.cost import measured_cost
from steelyard.harness.evaluation.evaluating import build, divergence, evaluate
from steelyard.harness.plugins.protocols import DataSource
from steelyard.harness.scoring import open_model
from steelyard.harness.suites.suite import load_suite

toy = build(load_suite(str(suite_file), folder=folder))
assert not evaluate(Answering(), toy, checkpoint=checkpoint(folder)).failures
base = open_base("microworld")
lm = open_model(base.weights_folder, device="cpu", report=lambda _: None)
suite = build(load_suite(
    {
        "tasks": ["microworld_" + name for name in ("choice", "memory", "samples", "own_conflict")],
        "fidelity": {"task": "microworld_fidelity"},
        "cost": {"task": "microworld_text"},
    },
    folder=folder, limit=3,
))
evaluation = evaluate(lm, suite, checkpoint=base)
assert not evaluation.failures, evaluation.failures
assert divergence(lm, lm, suite, checkpoint=base).scores
data = DataSource("choices", folder / "choice.jsonl")
assert marked(evaluate(Answering(), toy, checkpoint=checkpoint(folder)), toy, Overlaps(toy), [data])

class Meter:
    def window(self, name):
        raise RuntimeError("the meter is the pipeline's")

measured_cost(lm, suite, Meter, base)
print("\\n" + json.dumps(sorted(m for m in sys.modules if m.partition(".")[0] == "steelyard")))
"""


def output(code: str, *folders: Path) -> list[str]:
    """What a fresh process prints last, as JSON; the house is imported from ``folders``."""
    path = os.pathsep.join([*map(str, folders), os.environ["PYTHONPATH"]])
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    modules: list[str] = json.loads(done.stdout.splitlines()[-1])
    return modules


def outside(modules: Iterable[str], house: Path = HOUSE) -> list[str]:
    """The modules whose file lies in no room of the score's key."""
    lying = []
    for module in set(modules) - {FACE}:
        path = house.joinpath(*module.split(".")[1:])
        file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        inside = any((house / room) in (file, *file.parents) for room in SCORE_ROOMS)
        if not inside:
            lying.append(module)
    return sorted(lying)


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the house under its import name."""
    house = tmp_path_factory.mktemp("copied") / "steelyard"
    shutil.copytree(HOUSE / "steelyard", house)
    for folder in ("harness", "reports", "tasks", "trainers"):
        kept = shutil.ignore_patterns("__pycache__", "*.safetensors", "*.json")
        shutil.copytree(HOUSE / folder, house / folder, ignore=kept)
    return house


@pytest.mark.slow  # whatever it can ever import, the next test reads from the source
def test_what_evaluating_imports_lies_in_the_rooms_of_the_scores_key() -> None:
    modules = output(RUN)
    assert "steelyard.harness.stats.intervals" in modules
    assert "steelyard.harness.evaluation.contamination.containment" in modules
    assert "steelyard.tasks.probes.closed_book" in modules
    assert not outside(modules)


def test_what_evaluation_can_ever_import_lies_in_the_rooms_of_the_scores_key(copied: Path) -> None:
    modules = output(STATIC, copied.parent)
    assert "steelyard.harness.evaluation.cost" in modules
    assert "steelyard.tasks.metrics.judged" in modules
    assert not outside(modules, copied)


def test_a_module_that_evaluation_imports_from_elsewhere_is_told(copied: Path) -> None:
    rows = copied / "harness" / "evaluation" / "rows.py"
    before = rows.read_text()
    weights = copied / "harness" / "judgement" / "weights.py"
    weights.parent.mkdir()
    (weights.parent / "__init__.py").touch()
    weights.write_text("HALF = 0.5\n")
    planted = "def half() -> float:\n    from steelyard.harness.judgement.weights import HALF\n"
    rows.write_text(f"{before}\n\n{planted}    return HALF\n")
    try:
        assert outside(output(STATIC, copied.parent), copied) == [
            "steelyard.harness.judgement.weights"
        ]
    finally:
        rows.write_text(before)
        shutil.rmtree(weights.parent)


@pytest.mark.parametrize(
    ("file", "scores", "answers"),
    [
        ("harness/stats/intervals.py", True, False),
        ("harness/stats/new/deep/module.py", True, False),
        ("harness/evaluation/contamination/containment.py", True, False),
        ("harness/suites/metadata.py", True, False),
        ("harness/environment.py", True, False),
        ("harness/records/runs.py", True, False),
        ("tasks/probes/texts.py", True, False),
        ("tasks/metrics/new.py", True, False),
        ("harness/scoring/passes/trie.py", True, True),
        ("harness/scoring/new/folder/module.py", True, True),
        ("harness/checkpoints/adapters.py", True, True),
        ("harness/cli/main.py", False, False),
        ("harness/compare/deltas.py", False, False),
        ("harness/gate/policy.py", False, False),
        ("harness/pipeline/score.py", False, False),
        ("harness/store/folder.py", False, False),
        ("reports/words.py", False, False),
        ("trainers/lora.py", False, False),
        ("trainers/new.py", False, False),
    ],
)
def test_a_change_makes_new_scores_and_asks_again_only_where_it_can_matter(
    copied: Path, file: str, scores: bool, answers: bool
) -> None:
    before = [rooms_digest(rooms, copied) for rooms in (SCORE_ROOMS, ANSWER_ROOMS)]
    changed = copied / file
    text = changed.read_text() if changed.exists() else None
    changed.parent.mkdir(parents=True, exist_ok=True)
    changed.write_text((text or "") + "# changed\n")
    after = [rooms_digest(rooms, copied) for rooms in (SCORE_ROOMS, ANSWER_ROOMS)]
    if text is None:
        changed.unlink()
    else:
        changed.write_text(text)
    assert [a != b for a, b in zip(after, before, strict=True)] == [scores, answers]


def test_a_library_that_makes_an_answer_makes_a_score_and_stands_in_the_record() -> None:
    for name, uses in LIBRARIES.items():
        assert "answers" not in uses or "score" in uses, name
        assert not uses & {"train", "answers", "score", "signature", "text"} or "record" in uses
