"""Attempts at one gate: whoever trains until it says PASS has chosen one of several."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from steelyard.harness.cli.main import app
from steelyard.harness.compare import baseline_file
from steelyard.harness.errors import StoreError
from steelyard.harness.gate import judge, load_gate
from steelyard.harness.store import GateAttempt, open_store
from tests.harness.gate.toy_gate import POLICY
from tests.harness.scored_runs import rows, scored, with_flips, zero_one

BASE = zero_one(600, 0.6)


def attempt_at(lost: int, gained: int, number: int, name: str = "tuned"):
    """A checkpoint of ``name``; each number is another one."""
    held = [rows("known", "acc", with_flips(BASE, lost, gained, seed=number))]
    held.append(rows("style", "acc", BASE))
    checkpoint = {"digest": f"weights-{number}"}
    return scored(name, held, checkpoint=checkpoint, id=f"run-{name}-{number}")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policy.yaml").write_text(POLICY)
    baseline_file.save(attempt_at(0, 0, 0, "base"), tmp_path / "base.steelyard.json.gz")
    return tmp_path


def gated(folder, run, *options):
    file = folder / "tuned.steelyard.json.gz"
    baseline_file.save(run, file)
    words = ["gate", file.name, "-p", "policy.yaml", "-b", "base.steelyard.json.gz", *options]
    return CliRunner().invoke(app, words)


def test_each_new_checkpoint_of_a_name_is_an_attempt_and_the_same_one_again_is_none(folder):
    for number in (1, 2, 2, 1, 3, 3):
        gated(folder, attempt_at(90, 0, number))
    answer = gated(folder, attempt_at(0, 0, 4), "--comment", "comment.md")
    assert answer.exit_code == 0
    line = "1 of 1 candidates pass the gate (tuned, the 4th attempt at this gate)"
    assert line in " ".join(answer.stdout.split())
    assert "the 4th attempt at this gate" in (folder / "comment.md").read_text()
    document = json.loads(gated(folder, attempt_at(0, 0, 4), "--format", "json").stdout)
    assert line in document["headline"]
    again = gated(folder, attempt_at(90, 0, 2))
    assert again.exit_code == 1
    assert "the 2nd of 4 attempts at this gate" in " ".join(again.stdout.split())


def test_what_was_scored_and_never_gated_was_tried(folder):
    store = open_store(folder / ".steelyard")
    for number in (1, 2):
        run = attempt_at(90, 0, number)
        store.put(run.run, list(run.rows.values()), ())
    answer = gated(folder, attempt_at(0, 0, 3))
    assert "the 3rd attempt at this gate" in " ".join(answer.stdout.split())
    # A run that is removed was tried all the same.
    store.runs.delete("run-tuned-1")
    answer = gated(folder, attempt_at(0, 0, 3))
    assert "the 3rd attempt at this gate" in " ".join(answer.stdout.split())


def test_another_name_or_suite_starts_at_one(tmp_path):
    counts = open_store(tmp_path).current.gated
    assert counts.counted("e", "a", "core", "x") == GateAttempt(1, 1)
    assert counts.counted("e", "a", "core", "y") == GateAttempt(2, 2)
    assert counts.counted("e", "b", "core", "y") == GateAttempt(1, 1)
    assert counts.counted("e", "a", "other", "y") == GateAttempt(1, 1)
    assert open_store(tmp_path).current.gated.counted("e", "a", "core", "x") == GateAttempt(1, 2)


def test_a_damaged_count_is_an_error_and_no_fresh_start(tmp_path):
    store = open_store(tmp_path)
    store.current.gated.counted("e", "a", "core", "x")
    (file,) = (tmp_path / "current").glob("gated-*.json")
    file.write_text("{}")
    with pytest.raises(StoreError, match="attempts at e/a"):
        store.current.gated.counted("e", "a", "core", "y")
    assert any("gated-" in line for line in store.current.damage())


def test_attempts_count_as_tried_where_a_pass_must_hold_among_all():
    # 24 lost and 8 gained of 600 are 2.7 points with a standard error of .94: 2.5 of them above
    # the margin, which is enough for .05 and not for .05 / 40 (3.02).
    gate = load_gate({"rules": [{"task": "known", "margin": 0.05}], "draws": 1000})
    base = scored("base", [rows("known", "acc", BASE)])
    close = scored("new", [rows("known", "acc", with_flips(BASE, 24, 8))])
    (alone,) = judge(gate, base, [close])
    assert alone.exit_code == 0
    assert "tried" not in alone.summary
    (of_forty,) = judge(gate, base, [close], attempts=[GateAttempt(40, 40)])
    assert of_forty.summary.endswith(
        "the 40th attempt at this gate; one of 40 tried, and by itself: it does not hold among "
        "all of them"
    )
    same = scored("same", [rows("known", "acc", BASE)])
    (sure,) = judge(gate, base, [same], attempts=[GateAttempt(11, 11)])
    assert sure.summary.endswith(
        "the 11th attempt at this gate; holds among all 11 that were tried"
    )


def test_the_best_of_forty_attempts_at_the_margin_is_told_from_one_that_holds():
    """Each attempt truly falls by the margin: 5 points, 60 lost and 30 gained of 600 on average."""
    gate = load_gate({"rules": [{"task": "known", "margin": 0.05}], "draws": 1000})
    base = scored("base", [rows("known", "acc", BASE)])
    rng = np.random.default_rng(7)
    words = passed = 0
    for _ in range(20):
        lost, gained = min(
            ((rng.binomial(360, 1 / 6), rng.binomial(240, 1 / 8)) for _ in range(40)),
            key=lambda flips: flips[0] - flips[1],
        )
        best = scored("new", [rows("known", "acc", with_flips(BASE, lost, gained))])
        (verdict,) = judge(gate, base, [best], attempts=[GateAttempt(40, 40)])
        passed += verdict.exit_code == 0
        words += verdict.exit_code == 0 and "holds among all" in verdict.summary
    # 5% of 20 is 1; three or more have probability 7.5% at .05 each.
    assert words <= 2
    # What is said by itself is what the attempts bought: the best of forty passes far more often.
    assert passed >= 10
