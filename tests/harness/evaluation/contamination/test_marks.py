"""What a candidate was trained on: two slices, a record, and a gate that fails closed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from steelyard.harness.errors import ConfigError
from steelyard.harness.evaluation.contamination.marks import marked
from steelyard.harness.evaluation.contamination.overlaps import Overlaps
from steelyard.harness.evaluation.evaluating import build, evaluate
from steelyard.harness.gate import judge, load_gate
from steelyard.harness.plugins.protocols import DataSource
from steelyard.harness.records import Contaminated
from steelyard.harness.suites.suite import load_suite
from tests.harness.scored_runs import rows, sample, scored, zero_one
from tests.harness.toy_suite import Answering, checkpoint, write_suite


def test_a_planted_item_makes_two_slices_and_two_scores(tmp_path: Path) -> None:
    suite = build(load_suite(str(write_suite(tmp_path)), folder=tmp_path))
    questions = [json.loads(line) for line in (tmp_path / "choice.jsonl").open()]
    planted = questions[3:6]
    data = tmp_path / "train.jsonl"
    data.write_text(
        "".join(
            json.dumps({"text": f"Q: {q['question']}\nA: {q['choices'][q['gold']]}"}) + "\n"
            for q in planted
        )
    )
    known = {f"Q: {q['question']}\nA:": q["choices"][q["gold"]] for q in planted}

    def learnt_by_heart(context: str, text: str) -> float:
        question = "Q:" + context.rpartition("Q:")[2]
        return 0.0 if known.get(question) == text.strip() else -float(len(text)) - len(context) / 9

    evaluation = evaluate(Answering(learnt_by_heart), suite, checkpoint=checkpoint(tmp_path))
    source = DataSource("facts", data)
    found, records = marked(evaluation, suite, Overlaps(suite), [source])
    (record,) = [r for r in records if r.task == "toy_choice"]
    assert (record.items, record.contaminated, record.data) == (24, 3, ("facts",))
    assert record.metric == "acc" and record.within == 1.0
    whole = next(s.value for s in evaluation.scores if s.metric == "acc")
    assert record.clean == pytest.approx((24 * whole - 3) / 21) and record.clean < whole
    said = {s.document["question"]: s.slices["in_training_data"] for s in found.samples
            if s.task == "toy_choice"}  # fmt: skip
    assert {q for q, word in said.items() if word == "yes"} == {q["question"] for q in planted}
    untouched = {s.task for s in found.samples if "in_training_data" not in s.slices}
    assert "toy_translate" in untouched
    same, none = marked(evaluation, suite, Overlaps(suite), [])
    assert same is evaluation and none == ()


def test_a_task_that_asks_twice_keeps_a_clean_slice_without_the_planted_items(
    tmp_path: Path,
) -> None:
    suite = build(load_suite(["microworld_own_conflict"], folder=tmp_path, limit=30))
    (task,) = suite.tasks
    learnt = list(task.documents)[3:8]
    planted = [f"{d['prompt']} {d['target']}" for d in learnt]
    data = tmp_path / "train.jsonl"
    data.write_text("".join(json.dumps({"text": text}) + "\n" for text in planted))
    model = Answering(generate=lambda prompt: f"an answer to {len(prompt)}")
    evaluation = evaluate(model, suite, checkpoint=checkpoint(tmp_path))
    assert not evaluation.failures
    source = DataSource("facts", data)
    found, (record,) = marked(evaluation, suite, Overlaps(suite), [source])
    inside = {s.document["prompt"] for s in found.samples if s.slices["in_training_data"] == "yes"}
    assert inside >= {d["prompt"] for d in learnt}
    assert 5 <= record.contaminated == len(inside) < 30


BASE = zero_one(200, 0.7)
SAMPLES = [
    sample("known", f"known-{i:05d}", slices={"in_training_data": "yes" if i < 40 else "no"})
    for i in range(200)
]
RULE = {"task": "known", "margin": 0.05}


def candidate(contaminated: int):  # type: ignore[no-untyped-def]
    made = scored("new", [rows("known", "acc", BASE)], samples=SAMPLES)
    found = Contaminated(task="known", items=200, contaminated=contaminated, data=("facts",))
    run = made.run.model_copy(update={"contamination": (found,)})
    return type(made)(run, made.rows, made.samples)


def verdict(contaminated: int, **policy):  # type: ignore[no-untyped-def]
    base = scored("base", [rows("known", "acc", BASE)], samples=SAMPLES)
    gate = load_gate({"rules": [RULE], **policy})
    return judge(gate, base, [candidate(contaminated)])[0]


def test_a_gate_on_a_contaminated_task_fails_closed_and_says_how_to_mend_it() -> None:
    found = verdict(40)
    assert found.exit_code == 3
    why = found.rules[0].why
    assert "40 of its 200 items are in the training data (facts): NOT COMPARABLE" in why
    assert "in_training_data=no" in why and "waive_contamination" in why
    kept = verdict(40, rules=[{**RULE, "on_missing": "pass"}])
    assert kept.exit_code == 3  # rows learnt by heart are not rows that are missing


def test_a_waiver_needs_a_reason_and_shows_it() -> None:
    found = verdict(40, waive_contamination={"kno*": "the data teach it"})
    assert found.exit_code == 0 and "waived: the data teach it" in found.rules[0].why
    with pytest.raises(ConfigError, match="'known' is waived without a reason"):
        load_gate({"rules": [RULE], "waive_contamination": {"known": " "}})
    with pytest.raises(ConfigError, match=r"waive_contamination.*did you mean 'known'"):
        verdict(40, waive_contamination={"knwon": "a reason"})


def test_the_clean_slice_and_a_chance_find_decide_as_before() -> None:
    assert verdict(40, rules=[{**RULE, "slice": "in_training_data=no"}]).exit_code == 0
    assert verdict(40, rules=[{**RULE, "slice": "in_training_data=yes"}]).exit_code == 3
    assert verdict(2).exit_code == 0  # 1% of 200
    assert verdict(3).exit_code == 3
    assert verdict(2, contaminated_share=0.0).exit_code == 3
