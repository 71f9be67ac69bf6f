"""The ready-made tasks over real data: prompts, floors, and what broken models score on them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from steelyard.harness.errors import DataError
from steelyard.harness.evaluation.evaluating import BuiltSuite, build, evaluate
from steelyard.harness.suites.metadata import right_choices
from steelyard.harness.suites.suite import list_suites, load_suite, task_file
from tests.harness.toy_suite import Answering, broken, checkpoint

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "examples" / "local_data"
TASKS = (
    "dialogsum", "gsm8k", "halueval_qa", "mmlu", "truthfulqa", "wikitext2_paragraphs",
    "tinyshakespeare", "wmt17_ende_fluency", "leaderboard_bbh_snarks",
)  # fmt: skip
CHOICES = ("halueval_qa", "truthfulqa", "wmt17_ende_fluency", "leaderboard_bbh_snarks")


@pytest.fixture(scope="module")
def built(real_data: Path) -> BuiltSuite:
    spec = {"include": [str(FOLDER)], "tasks": list(TASKS)}
    return build(load_suite(spec, folder=ROOT, limit=12))


@pytest.mark.parametrize("value", [math.nan, -1.0])
def test_a_broken_model_is_never_above_chance_on_real_tasks(
    built: BuiltSuite, value: float
) -> None:
    evaluation = evaluate(broken(value), built, checkpoint=checkpoint(ROOT))
    assert not evaluation.failures
    for score in evaluation.scores:
        if score.task in {*CHOICES, "mmlu"}:
            assert score.value is None and score.unscored == 12 and score.flags
        elif score.task in {"dialogsum", "gsm8k"}:
            assert score.value == 0


def test_a_model_that_always_takes_the_first_choice_gains_nothing(real_data: Path) -> None:
    names = [*CHOICES, "mmlu"]
    suite = load_suite({"include": [str(FOLDER)], "tasks": names}, folder=ROOT)
    for task in build(suite).tasks:
        first = [0 in right_choices(task.task, document) for document in task.documents]
        chance = sum(
            len(right_choices(task.task, d)) / len(task.task.doc_to_choice(d))
            for d in task.documents
        ) / len(first)
        assert sum(first) / len(first) == pytest.approx(chance, abs=0.05), task.name


def test_mmlu_shows_examples_of_the_questions_own_subject(built: BuiltSuite) -> None:
    requests = built.requests(Answering())["mmlu"]
    for request in requests:
        prompt, choice = request.args
        named = request.doc["subject"].replace("_", " ")
        assert prompt.startswith(
            f"The following are multiple choice questions (with answers) about {named}.\n\n"
        )
        assert prompt.count("\nAnswer:") == 6 and prompt.endswith("\nAnswer:")
        assert choice in {" A", " B", " C", " D"}


def test_gsm8k_asks_as_lm_eval_does(built: BuiltSuite) -> None:
    import yaml

    package = Path(__import__("lm_eval").__file__).parent
    theirs = yaml.safe_load((package / "tasks" / "gsm8k" / "gsm8k.yaml").read_text())
    ours = next(t for t in built.tasks if t.name == "gsm8k").config
    for key in ("doc_to_text", "doc_to_target", "num_fewshot", "metric_list"):
        assert getattr(ours, key) == theirs[key], key
    patterns = [
        [f.get("regex_pattern") for f in entry["filter"]] for entry in theirs["filter_list"]
    ]
    assert [[f.get("regex_pattern") for f in e["filter"]] for e in ours.filter_list] == patterns


def test_right_answers_score_one(built: BuiltSuite) -> None:
    answers = {}
    for task in built.tasks:
        for request in built.requests(Answering())[task.name]:
            document: Any = request.doc
            if task.name == "gsm8k":
                answers[request.args[0]] = document["answer"]
            if task.name == "dialogsum":
                answers[request.args[0]] = document["summaries"][0]

    def likes_truth(context: str, text: str) -> float:
        return 0.0 if text.strip() in truths else -50.0 * len(text)

    truths = {
        task.task.doc_to_choice(document)[index].strip()
        for task in built.tasks
        if task.name in {"halueval_qa", "truthfulqa"}
        for document in task.documents
        for index in right_choices(task.task, document)
    }
    lm = Answering(likes_truth, lambda context: answers[context])
    scores = {
        (s.task, s.metric): s.value for s in evaluate(lm, built, checkpoint=checkpoint(ROOT)).scores
    }
    assert scores["gsm8k", "exact_match,strict-match"] == 1.0
    assert scores["gsm8k", "exact_match,flexible-extract"] == 1.0
    assert scores["halueval_qa", "truth_over_hallucination"] == 1.0
    assert scores["truthfulqa", "mc1"] == 1.0
    assert scores["truthfulqa", "mc2"] == pytest.approx(1.0)
    assert scores["dialogsum", "rougeL"] > 0.5  # type: ignore[operator]


def test_a_missing_folder_is_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STEELYARD_REAL_DATA", str(tmp_path / "nowhere"))
    suite = load_suite({"include": [str(FOLDER)], "tasks": ["gsm8k"]}, folder=ROOT)
    with pytest.raises(DataError, match="set STEELYARD_REAL_DATA") as caught:
        build(suite)
    assert "\n" not in str(caught.value)


def test_a_missing_column_is_named_with_those_that_are_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "dialogsum").mkdir()
    (tmp_path / "dialogsum" / "test.jsonl").write_text('{"dialogue": "a", "summary": "b"}\n')
    monkeypatch.setenv("STEELYARD_REAL_DATA", str(tmp_path))
    suite = load_suite({"include": [str(FOLDER)], "tasks": ["dialogsum"]}, folder=ROOT)
    with pytest.raises(DataError, match="no 'summary1'; it has dialogue, summary"):
        build(suite)


def test_big_bench_hard_asks_as_lm_evals_leaderboard_does(built: BuiltSuite) -> None:
    import yaml

    folder = Path(__import__("lm_eval").__file__).parent / "tasks" / "leaderboard" / "bbh_mc"
    texts = [(folder / name).read_text() for name in ("_fewshot_template_yaml", "snarks.yaml")]
    theirs = yaml.safe_load(texts[0]) | yaml.safe_load(texts[1])
    ours = next(t for t in built.tasks if t.name == "leaderboard_bbh_snarks").config
    for key in ("description", "doc_to_choice", "doc_to_target", "num_fewshot", "metric_list"):
        assert getattr(ours, key) == theirs[key], key
    assert ours.doc_to_text.strip() == theirs["doc_to_text"].strip()
    assert ours.fewshot_config.samples == theirs["fewshot_config"]["samples"]


def test_the_local_core_asks_four_of_cores_tasks_by_name_and_says_what_stands_in() -> None:
    core = load_suite("core", folder=ROOT)
    local = load_suite("suite.yaml", folder=ROOT / "examples" / "core_local")
    shared = {t.task: t.num_fewshot for t in core.tasks} | {"wikitext": None}
    asked = {t.task: t.num_fewshot for t in local.tasks}
    assert set(shared) - set(asked) == {"arc_challenge", "hellaswag"}
    assert all(asked[name] == shared[name] for name in set(shared) & set(asked))


def test_every_shipped_suite_names_tasks_that_exist() -> None:
    assert {"core", "microworld", "smoke"} <= set(list_suites())
    for name in list_suites():
        suite = load_suite(name, folder=ROOT)
        assert suite.tasks or suite.cost
    example = load_suite("smollm2-suite.yaml", folder=ROOT / "examples")
    assert all(task_file(task.task, example.include) for task in example.tasks)


def test_the_tasks_run_under_plain_lm_eval_with_the_same_numbers(
    real_data: Path, tmp_path: Path
) -> None:
    import lm_eval
    from lm_eval.tasks import TaskManager

    names = ["halueval_qa", "truthfulqa"]
    lm = Answering(lambda context, text: -float(len(context + text) % 17) - len(text) / 7)
    printed = lm_eval.simple_evaluate(
        model=lm,
        tasks=names,
        task_manager=TaskManager(include_path=str(FOLDER), include_defaults=False),
        bootstrap_iters=0,
    )["results"]
    spec = {"include": [str(FOLDER)], "tasks": names}
    ours = evaluate(lm, build(load_suite(spec, folder=ROOT)), checkpoint=checkpoint(tmp_path))
    assert len(ours.scores) == 3
    for score in ours.scores:
        theirs = printed[score.task][f"{score.metric},none"]
        assert score.value == pytest.approx(theirs, rel=1e-12), (score.task, score.metric)
