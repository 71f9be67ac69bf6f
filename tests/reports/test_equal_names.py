"""Two runs of one name on one page: each keeps its own verdict, comparison and numbers."""

from __future__ import annotations

import json

import pytest

from steelyard.harness.compare import compare
from steelyard.harness.gate import Gate, judge
from steelyard.reports.build import build_report
from steelyard.reports.document import Document, Table
from steelyard.reports.renderers.json_document import Json
from tests.harness.scored_runs import rows, scored

N = 200
GATE = Gate.model_validate({"rules": [{"task": "known", "margin": 0.1}]})


def run(id: str, name: str, right: int):
    held = [rows("known", "acc", [float(i < right) for i in range(N)])]
    return scored(name, held, id=id, checkpoint={"digest": f"weights {id}"})


def report(base, *candidates) -> Document:
    comparisons = compare(base, candidates)
    verdicts = judge(GATE, base, candidates, comparisons=comparisons)
    runs = [each.run for each in (base, *candidates)]
    return build_report("t", runs, comparisons, verdicts, baseline=base.name)


@pytest.mark.parametrize("swapped", [False, True])
def test_of_two_candidates_of_one_name_only_the_good_one_passes(swapped: bool) -> None:
    good, bad = run("aaaaaaaa1", "lora", 150), run("bbbbbbbb1", "lora", 20)
    order = [bad, good] if swapped else [good, bad]
    document = report(run("base", "base", 150), *order)
    words = {each.candidate: each.verdict for each in document.verdicts}
    assert words == {"lora (aaaaaaaa)": "pass", "lora (bbbbbbbb)": "fail"}
    (table,) = (b for b in document.sections[0].blocks if isinstance(b, Table))
    gates = {row.cells[0].text: row.cells[1].word for row in table.rows}
    assert gates == {"lora (aaaaaaaa)": "pass", "lora (bbbbbbbb)": "fail"}
    falls = [row for row in document.scores if row.word == "worse"]
    assert [row.run for row in falls] == ["bbbbbbbb1"]


def test_a_candidate_of_the_baseline_s_name_is_no_baseline() -> None:
    old, new = run("old000001", "lora", 150), run("new000001", "lora", 20)
    answer = json.loads(Json().render(report(old, new).ended(1)))
    rows_by_run = {row["run"]: row for row in answer["scores"]}
    assert rows_by_run["old000001"]["is_baseline"] and not rows_by_run["new000001"]["is_baseline"]
    assert rows_by_run["new000001"]["word"] == "worse"
    assert rows_by_run["old000001"]["difference"] is None


def test_a_candidate_of_the_name_of_a_baseline_that_is_not_on_the_page_is_a_candidate() -> None:
    # As of a sequential gate, which shows what it scored alone.
    old, new = run("old000001", "base", 150), run("new000001", "base", 20)
    (verdict,) = judge(GATE, old, [new])
    document = build_report("t", [new.run], (), [verdict], baseline="base", baseline_id="old000001")
    assert document.baselines == ("base (baseline old00000)",)
    assert [(row.candidate, row.is_baseline) for row in document.scores] == [("base", False)]
    assert document.headline.startswith("0 of 1 candidates pass")


def test_a_run_held_against_itself_is_candidate_and_baseline() -> None:
    one = run("same00001", "base", 150)
    document = report(one, one)
    assert [each.candidate for each in document.verdicts] == ["base"]
    assert document.baselines == ("base (baseline same0000)",)
