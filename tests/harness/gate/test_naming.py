"""What `--baseline` may be called beside candidates that are called by their names."""

from __future__ import annotations

from pathlib import Path

import pytest

from steelyard.harness.errors import UnknownNameError
from steelyard.harness.gate import baseline_name
from steelyard.harness.store import open_store
from tests.harness.scored_runs import rows, scored


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    store = open_store(tmp_path / ".steelyard")
    for name, id in (("lora", "abcd1234"), ("base", "ef567890"), ("abcd", "99990000")):
        run = scored(name, [rows("t", "acc", [1.0, 0.0])], id=id, experiment="x")
        store.put(run.run, list(run.rows.values()), ())
    return store


@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("base", "ef567890"),
        ("x/base", "ef567890"),
        ("ef56", "ef567890"),
        ("abcd", "99990000"),  # a candidate's name comes before what an id begins with
        ("abcd1", "abcd1234"),
    ],
)
def test_a_baseline_is_a_candidate_of_the_experiment_or_a_run_s_id(store, name, id) -> None:
    assert store.get(baseline_name(name, ["x/lora"], Path("p.yaml"), store)).id == id


def test_one_that_is_neither_is_told_as_the_experiment_s_own(store) -> None:
    with pytest.raises(UnknownNameError, match="x/bse"):
        store.get(baseline_name("bse", ["x/lora"], Path("p.yaml"), store))
