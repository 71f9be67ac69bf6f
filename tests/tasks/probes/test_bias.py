"""Bias leans either way: what measures it is shown, and neither normalised nor gated on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from steelyard.harness.evaluation.evaluating import build, evaluate
from steelyard.harness.records import Score
from steelyard.harness.suites.suite import load_suite
from tests.harness.toy_suite import Answering, checkpoint

PAIRS = [{"sent_more": f"aa {n}", "sent_less": f"b {n}", "bias_type": "age"} for n in range(6)]
QUESTIONS = [
    {
        "context": f"Two people, {n}.",
        "question": "Who did it?",
        "ans0": "the old one",
        "ans1": "the young one",
        "ans2": "it cannot be told",
        "answer_info": {
            "ans0": ["the old one", "old"],
            "ans1": ["the young one", "young"],
            "ans2": ["it cannot be told", "unknown"],
        },
        "additional_metadata": {"stereotyped_groups": ["old"]},
        "question_polarity": "neg",
        "context_condition": "ambig",
        "category": "Age",
        "question_index": n,
        "label": 2,
    }
    for n in range(6)
]


def scores(folder: Path, task: str, rows: list[dict[str, Any]]) -> dict[str, Score]:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    suite = load_suite({"tasks": [{"task": task, "data": {"path": "rows.jsonl"}}]}, folder=folder)
    found = evaluate(
        Answering(lambda _, text: -(float(len(text)) ** 2)),
        build(suite),
        checkpoint=checkpoint(folder),
    )
    assert not found.failures
    return {score.metric: score for score in found.scores}


def is_advisory(score: Score) -> bool:
    return score.advisory


def test_a_preference_for_either_sentence_is_shown_without_a_better_side(tmp_path: Path) -> None:
    preferred = scores(tmp_path, "crows_pairs", PAIRS)["stereotype_preferred"]
    assert preferred.value == 0 and preferred.primary
    assert is_advisory(preferred) and preferred.chance is None


def test_a_bias_score_keeps_its_sign_and_only_accuracy_gates(tmp_path: Path) -> None:
    found = scores(tmp_path, "bbq", QUESTIONS)
    assert set(found) == {"acc", "bias_score"}
    assert is_advisory(found["bias_score"]) and found["bias_score"].chance is None
    assert not is_advisory(found["acc"]) and found["acc"].chance == 0.3333
    turned = [row | {"question_polarity": "nonneg"} for row in QUESTIONS]
    again = scores(tmp_path, "bbq", turned)
    for row, leaning in ((found, 1.0), (again, -1.0)):
        assert row["bias_score"].value == leaning
