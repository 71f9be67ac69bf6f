"""Tasks that ask twice: what is asked the second time, and what makes two models comparable."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from steelyard.harness.errors import ConfigError
from steelyard.harness.evaluation.evaluating import BuiltSuite, build, evaluate
from steelyard.harness.evaluation.part import PartEvaluation
from steelyard.harness.scoring.journal import Journal
from steelyard.harness.scoring.journalled import JournalledLM
from steelyard.harness.suites.suite import load_suite
from tests.harness.toy_suite import Answering, checkpoint

TASKS = ["microworld_own_conflict", "microworld_closed_book"]


@pytest.fixture(scope="module")
def built() -> BuiltSuite:
    return build(load_suite(TASKS, folder=Path(), limit=12))


def right_answers(built: BuiltSuite) -> dict[str, str]:
    return {d["prompt"]: d["target"] for task in built.tasks for d in task.documents}


def stubborn(built: BuiltSuite, answer: str | None = None) -> Answering:
    """A model that says the truth, or ``answer``, whatever the passage says."""
    right = right_answers(built)
    return Answering(
        lambda context, text: math.log(0.8),
        lambda prompt: f" {answer or right[prompt[prompt.index('Question') :]]} .",
    )


def scores(lm: Any, built: BuiltSuite) -> dict[tuple[str, str], float | None]:
    found = evaluate(lm, built, checkpoint=checkpoint(Path()))
    assert not found.failures
    return {(s.task, s.metric): s.value for s in found.scores}


def test_the_passage_contradicts_what_this_very_model_answered(built: BuiltSuite) -> None:
    task = built.tasks[0]
    first_values = {d["passage_values"][0] for d in task.documents}
    for own in sorted(first_values)[:3]:
        lm = stubborn(built, own)
        found = evaluate(lm, built, checkpoint=checkpoint(Path()))
        for sample in (s for s in found.samples if s.task == task.name):
            assert sample.document["memory_value"] == f"{own} ."
            assert sample.document["context_value"] != own
            assert sample.document["context_value"] in sample.prompt


def test_a_model_that_keeps_to_its_memory_has_a_memorisation_ratio_of_one(
    built: BuiltSuite,
) -> None:
    found = scores(stubborn(built), built)
    assert found["microworld_own_conflict", "from_memory"] == 1
    assert found["microworld_own_conflict", "memorisation_ratio"] == 1


def test_one_that_knew_nothing_has_no_memory_to_fall_back_on(built: BuiltSuite) -> None:
    found = scores(stubborn(built, "I do not know"), built)
    assert found["microworld_own_conflict", "had_memory"] == 0
    assert found["microworld_own_conflict", "neither"] == 1
    assert found["microworld_own_conflict", "memorisation_ratio"] is None
    assert found["microworld_closed_book", "abstained"] == 1
    assert found["microworld_closed_book", "abstention_score"] == 0
    # Who never answers has covered nothing: no curve is worse.
    assert found["microworld_closed_book", "aurc"] == 1


def test_confidence_is_the_probability_of_the_models_own_answer(built: BuiltSuite) -> None:
    found = evaluate(stubborn(built), built, checkpoint=checkpoint(Path()))
    (rows,) = (r for r in found.rows if r.task == TASKS[1] and r.metric == "aurc")
    assert rows.values[:, 0] == pytest.approx(0.8)
    assert (rows.values[:, 1] == 1).all()


def test_two_models_with_other_answers_have_the_same_samples(built: BuiltSuite) -> None:
    one = evaluate(stubborn(built), built, checkpoint=checkpoint(Path()))
    other = evaluate(stubborn(built, "Lorin"), built, checkpoint=checkpoint(Path()))
    assert one.signatures == other.signatures
    for mine, theirs in zip(one.rows, other.rows, strict=True):
        assert mine.sample_ids == theirs.sample_ids and len(set(mine.sample_ids)) == 12


def test_a_part_asks_and_scores_as_the_whole_does(built: BuiltSuite) -> None:
    lm = stubborn(built)
    whole = evaluate(lm, built, checkpoint=checkpoint(Path()))
    part = PartEvaluation(lm, built, checkpoint(Path()))
    for task in TASKS:
        rows = next(r for r in whole.rows if r.task == task)
        assert set(part.sample_ids[task]) == set(rows.sample_ids)
        chosen = rows.sample_ids[3:7]
        found = next(r for r in part.score(task, chosen).rows if r.metric == rows.metric)
        assert set(found.sample_ids) == set(chosen)


def test_both_passes_are_journalled(built: BuiltSuite, tmp_path: Path) -> None:
    first, again = stubborn(built), stubborn(built)
    values = [
        scores(JournalledLM(lm, {}, Journal(tmp_path / "journal.sqlite", "c" * 64)), built)
        for lm in (first, again)
    ]
    assert values[0] == values[1]
    assert len(first.asked) == 4 * 12 and not again.asked


@pytest.mark.parametrize(
    ("first", "said"), [("microworld_twins", "must generate text"), ("microworld_memory", "after")]
)
def test_a_first_pass_that_cannot_be_one_is_named(tmp_path: Path, first: str, said: str) -> None:
    (tmp_path / "mine.yaml").write_text(
        "task: mine\ncustom_dataset: !function steelyard.tasks.microworld.probe_docs.twins\n"
        "test_split: test\noutput_type: loglikelihood\ndoc_to_text: prompt\n"
        "doc_to_target: target\n"
        "metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]\n"
        f"metadata: {{version: 1.0, steelyard: {{first_pass: {first}}}}}\n"
    )
    suite = load_suite({"include": [str(tmp_path)], "tasks": ["mine"]}, folder=tmp_path)
    with pytest.raises(ConfigError, match=said) as caught:
        build(suite)
    assert "first_pass" in str(caught.value)


def test_data_of_ones_own_are_asked_in_both_passes(tmp_path: Path) -> None:
    rows = [{"frage": f"who is {n}", "antwort": [f"a{n}"]} for n in range(3)]
    (tmp_path / "ours.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = {"path": "ours.jsonl", "fields": {"question": "frage", "answer": "antwort"}}
    entry = {"task": "nq_own_conflict", "data": data, "description": "Be brief.\n\n"}
    # The data set that the first pass names is on the hub, which no test reaches.
    (task,) = build(load_suite({"tasks": [entry]}, folder=tmp_path)).tasks
    assert task.first is not None
    assert [d["question"] for d in task.first.documents] == [row["frage"] for row in rows]
    assert task.first.config.description == task.config.description == entry["description"]
