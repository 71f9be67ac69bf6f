"""Groups of tasks: a score with an interval, compared and gated sample by sample."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from steelyard.harness.compare import Scored, baseline_file, compare
from steelyard.harness.errors import SteelyardError
from steelyard.harness.evaluation.evaluating import Evaluation, evaluate
from steelyard.harness.evaluation.groups import group_signature
from steelyard.harness.gate import judge
from steelyard.harness.gate.policy import Gate
from steelyard.harness.records import Contaminated, Environment, Run, Score, TaskSignature
from steelyard.harness.suites import BuiltSuite, build, load_suite
from tests.harness.toy_suite import Answering, checkpoint

TASK = """
task: town_{name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/{name}.jsonl}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{q}}}}"
doc_to_choice: [" yes", " no"]
doc_to_target: gold
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}{more}]
metadata: {{version: 1.0}}
{tag}
"""
SIZES = {"harbour": 12, "garden": 4, "square": 8}
GROUPS = """
group: town
task: [town_harbour, town_garden]
aggregate_metric_list: [{metric: acc, aggregation: mean, weight_by_size: true}]
"""


def town(
    folder: Path,
    groups: Mapping[str, str] | None = None,
    suite: Any = None,
    more: str = "",
    without_more: str = "",
) -> BuiltSuite:
    """Tasks of a town whose harbour always says yes and whose garden always says no."""
    tasks = folder / "tasks"
    tasks.mkdir(exist_ok=True)
    for name, size in SIZES.items():
        rows = [{"q": f"{name} {n}?", "gold": 0} for n in range(size)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        text = TASK.format(
            name=name,
            folder=folder,
            more="" if name == without_more else more,
            tag="tag: quarters" if name != "square" else "",
        )
        (tasks / f"{name}.yaml").write_text(text)
    for name, text in (groups or {"town": GROUPS}).items():
        (tasks / f"_{name}.yaml").write_text(text)
    spec = suite or {"include": ["tasks"], "tasks": ["town"]}
    return build(load_suite(spec, folder=folder))


def answering(wrong: str = "garden") -> Answering:
    """A model that says yes everywhere but in ``wrong``."""
    return Answering(lambda context, text: -1.0 if (wrong in context) == ("no" in text) else -2.0)


def scored(lm: Any, built: BuiltSuite, folder: Path) -> tuple[Evaluation, dict[str, Score]]:
    evaluation = evaluate(lm, built, checkpoint=checkpoint(folder))
    assert not evaluation.failures
    return evaluation, {score.task: score for score in evaluation.scores if score.metric == "acc"}


def test_a_group_has_lm_eval_s_score_with_an_interval_where_lm_eval_has_an_error_of_0(
    tmp_path: Path,
) -> None:
    import lm_eval
    from lm_eval.tasks import TaskManager

    _, scores = scored(answering(), town(tmp_path), tmp_path)
    manager = TaskManager(include_path=str(tmp_path / "tasks"), include_defaults=False)
    theirs = lm_eval.simple_evaluate(
        answering(), tasks=["town"], task_manager=manager, bootstrap_iters=100
    )
    assert theirs is not None
    assert scores["town"].value == theirs["results"]["town"]["acc,none"] == 0.75
    assert theirs["results"]["town"]["acc_stderr,none"] == 0
    assert (scores["town"].n, scores["town"].primary) == (16, True)
    assert scores["town"].low == pytest.approx(0.589, abs=1e-3)
    assert scores["town"].high == pytest.approx(0.863, abs=1e-3)


def test_groups_may_be_nested_and_tasks_may_count_alike(tmp_path: Path) -> None:
    groups = {
        "town": GROUPS.replace("weight_by_size: true", "weight_by_size: false"),
        "county": "group: county\ntask: [town, town_square]\n"
        "aggregate_metric_list: [{metric: acc, aggregation: mean, weight_by_size: true}]\n",
    }
    built = town(tmp_path, groups, {"include": ["tasks"], "tasks": ["county"]})
    _, scores = scored(answering(), built, tmp_path)
    assert scores["town"].value == 0.5
    # Of the tasks below, not of the group's score: 20 of 24 right.
    assert scores["county"].value == pytest.approx(20 / 24)
    assert set(scores["county"].parts) == {"town_harbour", "town_garden", "town_square"}


def test_a_group_of_which_one_task_generates_names_what_its_model_states_of_generation() -> None:
    versions = {"lm_eval": "0.4.13"}
    common: dict[str, Any] = {
        "data_digest": "d",
        "few_shot": 0,
        "tokenizer": "t",
        "dtype": "float32",
    }
    chosen = TaskSignature(task="a", task_digest="1", versions=versions, **common)
    stated = '{"repetition_penalty": 3.0}'
    written = TaskSignature(
        task="b", task_digest="2", versions=versions, generation_defaults=stated, **common
    )
    for parts in ([chosen, written], [written, chosen]):
        signature = group_signature("g", "mean", parts)
        assert signature is not None and signature.generation_defaults == stated


def test_a_group_without_an_aggregate_has_no_score(tmp_path: Path) -> None:
    groups = {"town": "group: town\ntask: [town_harbour, town_garden]\n"}
    _, scores = scored(answering(), town(tmp_path, groups), tmp_path)
    assert set(scores) == {"town_harbour", "town_garden"}


def test_a_task_that_was_not_scored_leaves_the_group_without_a_value_and_is_named(
    tmp_path: Path,
) -> None:
    def silent_in_the_garden(context: str, text: str) -> float:
        if "garden" in context:
            raise RuntimeError("out of paper")
        return -float(len(text))

    lm = Answering(silent_in_the_garden)
    evaluation = evaluate(lm, town(tmp_path), checkpoint=checkpoint(tmp_path))
    (score,) = [s for s in evaluation.scores if s.task == "town"]
    assert score.value is None
    assert score.note == "not scored: town_garden"


def test_a_task_whose_definition_lacks_the_metric_is_named(tmp_path: Path) -> None:
    more = ", {metric: acc_norm, aggregation: mean, higher_is_better: true}"
    groups = {"town": GROUPS.replace("metric: acc,", "metric: acc_norm,")}
    built = town(tmp_path, groups, more=more, without_more="garden")
    evaluation = evaluate(answering(), built, checkpoint=checkpoint(tmp_path))
    (score,) = [s for s in evaluation.scores if s.task == "town"]
    assert (score.metric, score.value) == ("acc_norm", 1.0)
    assert score.note == "without town_garden, which has no acc_norm"


def test_a_limit_is_for_each_task_or_for_all_as_it_says(tmp_path: Path) -> None:
    each = {"include": ["tasks"], "tasks": [{"task": "town", "limit": 4}]}
    assert [len(t.documents) for t in town(tmp_path, suite=each).tasks] == [4, 4]
    together = {"include": ["tasks"], "tasks": [{"task": "town", "limit": 8, "limit_for": "all"}]}
    assert [len(t.documents) for t in town(tmp_path, suite=together).tasks] == [6, 2]
    few = {"include": ["tasks"], "tasks": [{"task": "town", "limit": 1, "limit_for": "all"}]}
    with pytest.raises(SteelyardError, match="limit: 'town' has 2 tasks, which share a limit"):
        town(tmp_path, suite=few)


@pytest.mark.parametrize("name", ["town", "quarters"])
def test_a_description_changes_every_task_of_a_group_or_tag(tmp_path: Path, name: str) -> None:
    """lm-eval names each task after the group when one is changed, and keeps the last."""
    suite = {"include": ["tasks"], "tasks": [{"task": name, "description": "Say yes.\n"}]}
    built = town(tmp_path, suite=suite)
    assert {task.name for task in built.tasks} == {"town_harbour", "town_garden"}
    for requests in built.requests(answering()).values():  # type: ignore[arg-type]
        assert all(request.args[0].startswith("Say yes.") for request in requests)


def test_data_of_one_task_are_not_put_under_every_task_of_a_group(tmp_path: Path) -> None:
    suite = {"include": ["tasks"], "tasks": [{"task": "town", "data": {"path": "square.jsonl"}}]}
    with pytest.raises(SteelyardError, match="data: 'town' stands for several tasks"):
        town(tmp_path, suite=suite)


def test_an_aggregation_that_lm_eval_would_not_call_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "mine.py").write_text("def worst(values): return min(values)\n")
    groups = {"town": GROUPS.replace("aggregation: mean", "aggregation: !function mine.worst")}
    with pytest.raises(SteelyardError, match="'town' aggregates acc by a function"):
        town(tmp_path, groups)


# --- compared and gated ---------------------------------------------------------------------


def as_run(evaluation: Evaluation, folder: Path, name: str) -> Scored:
    manifest = checkpoint(folder).manifest
    run = Run(
        id=name,
        experiment="toy",
        candidate=name,
        suite="town",
        checkpoint=manifest.model_copy(update={"digest": name * 8}),
        scores=evaluation.scores,
        signatures=evaluation.signatures,
        environment=Environment(python="3", platform="x"),
        created_at="2026-01-01T00:00:00+00:00",
    )
    return Scored(run, {(r.task, r.metric): r for r in evaluation.rows}, None)


@pytest.mark.parametrize("weighting", ["true", "false"])
def test_the_groups_of_two_runs_pair_sample_by_sample(tmp_path: Path, weighting: str) -> None:
    groups = {"town": GROUPS.replace("size: true", f"size: {weighting}")}
    built = town(tmp_path, groups)
    before = as_run(scored(answering(), built, tmp_path)[0], tmp_path, "base")
    after = as_run(scored(answering("harbour 1"), built, tmp_path)[0], tmp_path, "lora")
    (comparison,) = compare(before, [after], draws=1000)
    assert comparison.problems == ()
    (delta,) = [d for d in comparison.deltas if d.task == "town"]
    # Harbour: 1, 10 and 11 lost of 12; garden: all 4 gained.
    expected = 1 / 16 if weighting == "true" else (-3 / 12 + 4 / 4) / 2
    assert delta.delta == pytest.approx(expected)
    assert delta.n == 16
    assert delta.low is not None and delta.low < expected < (delta.high or 0)


def test_a_group_can_be_gated_against_a_baseline_file(tmp_path: Path) -> None:
    built = town(tmp_path)
    file = tmp_path / "base.steelyard.json.gz"
    baseline_file.save(as_run(scored(answering(), built, tmp_path)[0], tmp_path, "base"), file)
    baseline = baseline_file.load(file)
    gate = Gate.model_validate({"rules": [{"task": "town", "metric": "acc", "margin": 0.1}]})
    (verdict,) = judge(gate, baseline, [baseline])
    assert (verdict.verdict, verdict.rules[0].n) == ("pass", 16)
    worse = as_run(scored(answering("r"), built, tmp_path)[0], tmp_path, "worse")
    (verdict,) = judge(gate, baseline, [worse])
    assert verdict.verdict == "fail"


def test_rows_that_a_part_of_a_group_lost_make_the_group_not_comparable(tmp_path: Path) -> None:
    built = town(tmp_path)
    before = as_run(scored(answering(), built, tmp_path)[0], tmp_path, "base")
    evaluation = scored(answering(), built, tmp_path)[0]
    after = as_run(evaluation, tmp_path, "lora")
    rows = {key: r for key, r in after.rows.items() if key[0] != "town_garden"}
    (comparison,) = compare(before, [Scored(after.run, rows, None)], draws=1000)
    assert "town: acc: town_garden: the candidate has no rows" in comparison.problems
    assert next(d for d in comparison.deltas if d.task == "town").delta is None


def test_a_group_of_which_much_was_trained_on_decides_nothing(tmp_path: Path) -> None:
    built = town(tmp_path)
    before = as_run(scored(answering(), built, tmp_path)[0], tmp_path, "base")
    after = as_run(scored(answering(), built, tmp_path)[0], tmp_path, "lora")
    learnt = Contaminated(task="town_garden", items=4, contaminated=3, data=("train",))
    run = after.run.model_copy(update={"contamination": (learnt,)})
    gate = Gate.model_validate({"rules": [{"task": "town", "metric": "acc", "margin": 0.1}]})
    (verdict,) = judge(gate, before, [Scored(run, after.rows, None)])
    assert verdict.verdict == "not_comparable"
    assert "3 of its 16 items are in the training data" in verdict.rules[0].why


def test_a_rule_on_a_group_is_not_decided_early_and_rules_on_its_tasks_are(tmp_path: Path) -> None:
    from steelyard.harness.gate import EarlyDecision

    built = town(tmp_path)
    before = as_run(scored(answering(), built, tmp_path)[0], tmp_path, "base")
    planned = as_run(scored(answering(), built, tmp_path)[0], tmp_path, "lora").run
    ids = {task: before.rows[task, "acc"].sample_ids for task in ("town_harbour", "town_garden")}
    rules = [{"task": "town", "metric": "acc", "margin": 0.1}]
    with pytest.raises(SteelyardError, match="'town' is a group"):
        EarlyDecision(Gate.model_validate({"rules": rules}), before, planned, ids)
    alone = Gate.model_validate({"rules": [{"task": "town_harbour", "margin": 0.1}]})
    decision = EarlyDecision(alone, before, planned, ids)
    chunk = decision.next_chunk()
    assert chunk is not None and chunk.task == "town_harbour"


def test_an_export_for_lm_eval_names_the_tasks_of_a_group(tmp_path: Path) -> None:
    from steelyard.reports.exports.lm_eval import lm_eval_results

    run = as_run(scored(answering(), town(tmp_path), tmp_path)[0], tmp_path, "base")
    content: Any = lm_eval_results(run)
    assert content["group_subtasks"]["town"] == ["town_harbour", "town_garden"]
    assert "town" not in content["configs"]
    assert content["results"]["town"]["acc,none"] == 0.75


def test_an_imported_group_without_its_tasks_says_what_to_hold_instead(tmp_path: Path) -> None:
    before = as_run(scored(answering(), town(tmp_path), tmp_path)[0], tmp_path, "base")
    bare = tuple(s.model_copy(update={"parts": {}}) for s in before.run.scores)
    named = tuple(
        s.model_copy(update={"task_digest": "version 1.0", "same_as": None})
        if s.task == "town"
        else s
        for s in before.run.signatures
    )
    update = {"scores": bare, "signatures": named, "imported_from": "lm-eval", "candidate": "hf"}
    after = Scored(before.run.model_copy(update=update), before.rows, None)
    (comparison,) = compare(before, [after], draws=1000)
    assert any(
        p.startswith("town: the task's definition changed")
        and p.endswith("hold its tasks together")
        for p in comparison.problems
    )
    assert any("without the tasks that it is made of" in p for p in comparison.problems)
    assert next(d for d in comparison.deltas if d.task == "town_harbour").n == 12
