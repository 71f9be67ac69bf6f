"""``data/deepeval.json`` was written by deepeval 4.3.1: four cases, one metric of which less is
better and which fails on one case, and deepeval's own exact match."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from steelyard.harness.errors import DataError
from steelyard.harness.imports.deepeval import read_deepeval
from tests.harness.imports.conftest import Steelyard

FILE = Path(__file__).parent / "data" / "deepeval.json"


def changed(folder: Path, *path: str | int, value: Any) -> Path:
    content = place = json.loads(FILE.read_text())
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    (folder / "run.json").write_text(json.dumps(content))
    return folder / "run.json"


def test_scores_are_deepevals_and_a_failed_metric_is_unscored() -> None:
    imported = read_deepeval(FILE)
    toxic, exact = imported.run.scores
    assert toxic.value == pytest.approx((0.9 + 0.2 + 0.9) / 3)
    assert (toxic.n, toxic.unscored, toxic.higher_is_better) == (3, 1, False)
    assert (exact.value, exact.n, exact.kind, exact.higher_is_better) == (0.5, 4, "accuracy", True)
    assert [s.prompt for s in imported.samples] == ["q0", "q1", "q2", "q3"]
    assert imported.samples[1].target == "b" and imported.samples[1].responses == ("a",)


def test_what_contradicts_itself_is_refused(tmp_path: Path) -> None:
    both = changed(tmp_path, "testCases", 0, "metricsData", 0, "success", value=True)
    with pytest.raises(DataError, match="both sides of its threshold"):
        read_deepeval(both)
    edited = changed(tmp_path, "testCases", 1, "metricsData", 1, "score", value=1.0)
    with pytest.raises(DataError, match=r"run\.json.*'Exact Match' has 4 scores in its summary"):
        read_deepeval(edited)
    with pytest.raises(DataError, match="holds conversations"):
        read_deepeval(changed(tmp_path, "conversationalTestCases", value=[{}]))
    with pytest.raises(DataError, match="no testCases"):
        read_deepeval(changed(tmp_path, "testCases", value=None))
    with pytest.raises(DataError, match="not laid out as a test run"):
        read_deepeval(changed(tmp_path, "testCases", value=[3]))


def test_two_test_runs_are_compared(steelyard: Steelyard, tmp_path: Path) -> None:
    for name in ("base", "new"):
        done = steelyard("import", "deepeval", FILE, "--name", name)
        assert done.code == 0 and "4 samples" in done.out, done.err
    assert steelyard("compare", "imported/base", "imported/new").code == 0
