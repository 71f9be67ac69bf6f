"""Documents and tasks that other tools score in silence: each with the right number, or none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from steelyard.harness.errors import SteelyardError
from steelyard.harness.evaluation.evaluating import Evaluation, evaluate
from steelyard.harness.records import Score
from steelyard.harness.suites import build, load_suite
from tests.harness.toy_suite import Answering, checkpoint

CHOICE = """
task: odd
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/odd.jsonl}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{q}}}}"
doc_to_choice: choices
doc_to_target: gold
num_fewshot: {shots}
metric_list: [{{metric: acc, aggregation: mean, higher_is_better: true}}]
"""
TEXT = """
task: odd
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/odd.jsonl}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{q}}}}"
doc_to_target: "{target}"
{more}
generation_kwargs: {{until: ["\\n"], max_gen_toks: 8}}
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
"""


def scored(folder: Path, task: str, rows: list[dict[str, Any]], lm: Any) -> Evaluation:
    (folder / "tasks").mkdir(exist_ok=True)
    (folder / "tasks" / "odd.yaml").write_text(task)
    (folder / "odd.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    suite = load_suite({"include": ["tasks"], "tasks": ["odd"]}, folder=folder)
    evaluation = evaluate(lm, build(suite), checkpoint=checkpoint(folder))
    assert not evaluation.failures
    return evaluation


def choice(folder: Path, rows: list[dict[str, Any]]) -> Score:
    """The accuracy of a model that likes a choice the more the later its first letter stands."""
    lm = Answering(lambda _, text: float(ord(text.strip()[0])) if text.strip() else 999.0)
    text = CHOICE.format(folder=folder, shots=0)
    (score,) = scored(folder, text, rows, lm).scores
    return score


def text(
    folder: Path, rows: list[dict[str, Any]], answer: str, target: str, more: str = ""
) -> Score:
    lm = Answering(generate=lambda _: answer)
    body = TEXT.format(folder=folder, target=target, more=more)
    (score,) = scored(folder, body, rows, lm).scores
    return score


def row(n: int, choices: list[str], gold: Any) -> dict[str, Any]:
    return {"q": f"Question {n}:", "choices": choices, "gold": gold}


PLAIN = row(0, ["able", "zero"], 1)


@pytest.mark.parametrize(
    ("odd", "flag"),
    [
        (row(1, ["able", "zero"], 2), "label outside the choices"),
        (row(1, ["able", "zero"], -1), "label outside the choices"),
        (row(1, ["able", "zero"], -100), "label outside the choices"),
        (row(1, ["zero", "able", "zero"], 2), "right choice stands twice"),
        (row(1, ["able", "", "zero"], 2), "choice without a text"),
    ],
)
def test_a_document_that_no_choice_can_answer_is_unscored_with_the_reason(
    tmp_path: Path, odd: dict[str, Any], flag: str
) -> None:
    score = choice(tmp_path, [PLAIN, odd])
    assert (score.value, score.n, score.unscored, score.flags) == (1.0, 1, 1, {flag: 1})


@pytest.mark.parametrize(
    ("choices", "gold"), [(["able", "able", "zero"], 2), (["zero", "able", "zero"], 0)]
)
def test_a_choice_that_stands_twice_and_misleads_nobody_takes_nothing_away(
    tmp_path: Path, choices: list[str], gold: int
) -> None:
    score = choice(tmp_path, [PLAIN, row(1, choices, gold)])
    assert (score.value, score.n, score.unscored) == (1.0, 2, 0)


def test_labels_of_a_table_with_gaps_are_whole_numbers(tmp_path: Path) -> None:
    score = choice(tmp_path, [row(0, ["able", "zero"], 1.0), row(1, ["zero", "able"], 1.0)])
    assert (score.value, score.n, score.unscored) == (0.5, 2, 0)


def test_several_right_choices_by_number_count_as_right_and_the_first_is_shown(
    tmp_path: Path,
) -> None:
    """EleutherAI/lm-evaluation-harness #3933: lm-eval 0.4.13 stops with an assertion."""
    rows = [row(n, ["able", "baker", "zero"], [0, 2] if n % 2 else [1]) for n in range(6)]
    lm = Answering(lambda _, text: float(ord(text.strip()[0])))
    evaluation = scored(tmp_path, CHOICE.format(folder=tmp_path, shots=1), rows, lm)
    assert evaluation.scores[0].value == 0.5
    for sample in evaluation.samples:
        shown = sample.prompt.split("\n\n")[0]
        assert shown.endswith(" able" if int(shown.split()[1][0]) % 2 else " baker")


def test_an_example_without_a_label_is_never_shown_with_the_last_choice(tmp_path: Path) -> None:
    rows = [row(n, ["able", "zero"], -1 if n % 2 else 0) for n in range(8)]
    lm = Answering(lambda _, text: float(ord(text.strip()[0])))
    evaluation = scored(tmp_path, CHOICE.format(folder=tmp_path, shots=2), rows, lm)
    assert not any(" zero\n\n" in sample.prompt for sample in evaluation.samples)


def test_the_first_document_does_not_decide_how_many_right_answers_the_others_have(
    tmp_path: Path,
) -> None:
    """lm-eval 0.4.13 compares "ja" with the letters of a text that follows a list."""
    target = "{{gold if gold|length > 1 else gold[0]}}"
    rows = [{"q": f"{n}?", "gold": ["ja", "yes"] if n < 2 else ["ja"]} for n in range(4)]
    assert text(tmp_path, rows, "ja", target).value == 1.0
    assert text(tmp_path, rows[::-1], "ja", target).value == 1.0
    assert text(tmp_path, rows, "j", target).value == 0.0
    assert text(tmp_path, rows, "yes", target).value == 0.5


def test_a_right_answer_that_reads_like_a_list_of_numbers_is_a_text(tmp_path: Path) -> None:
    """EleutherAI/lm-evaluation-harness #3170."""
    rows = [{"q": f"{n}?", "gold": f"[{n}, 7]"} for n in range(4)]
    assert text(tmp_path, rows, "[2, 7]", "{{gold}}").value == 0.25
    assert text(tmp_path, rows, "7", "{{gold}}").value == 0.0


def test_a_label_outside_the_choices_of_a_generated_answer_is_unscored(tmp_path: Path) -> None:
    rows = [{"q": f"{n}?", "gold": gold} for n, gold in enumerate([1, 0, -1, 5])]
    score = text(tmp_path, rows, "no", "gold", 'doc_to_choice: ["yes", "no"]')
    assert (score.value, score.n, score.unscored) == (0.5, 2, 2)
    assert score.flags == {"label outside the choices": 2}


def test_answers_in_which_the_filter_finds_nothing_are_counted(tmp_path: Path) -> None:
    more = (
        "filter_list: [{name: number, filter: "
        "[{function: regex, regex_pattern: '(\\d+)'}, {function: take_first}]}]"
    )
    rows = [{"q": f"{n}?", "gold": "4"} for n in range(3)]
    score = text(tmp_path, rows, "no idea", "{{gold}}", more)
    assert (score.value, score.n) == (0.0, 3)
    assert score.flags == {"nothing for the filter to take": 3}
    assert text(tmp_path, rows, "it is 4", "{{gold}}", more).flags == {}


def test_a_number_that_a_task_gives_for_some_documents_only_leaves_the_rest_unscored(
    tmp_path: Path,
) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "own.py").write_text(
        "def measured(doc, results):\n"
        "    return {'exact_match': 1.0} if doc['gold'] == 'kept' else {}\n"
    )
    more = "process_results: !function own.measured"
    rows = [{"q": f"{n}?", "gold": "kept" if n else "dropped"} for n in range(4)]
    score = text(tmp_path, rows, "x", "{{gold}}", more)
    assert (score.value, score.n, score.unscored) == (1.0, 3, 1)


def test_a_task_that_two_files_define_is_refused_with_both(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / "tasks" / name).mkdir(parents=True)
        (tmp_path / "tasks" / name / f"{name}.yaml").write_text(
            CHOICE.format(folder=tmp_path, shots=0)
        )
    with pytest.raises(SteelyardError, match=r"one.yaml: two.yaml defines the task 'odd' too"):
        load_suite({"include": ["tasks"], "tasks": ["odd"]}, folder=tmp_path)


def test_two_suites_that_ask_a_task_in_two_ways_must_be_told_which(tmp_path: Path) -> None:
    for name, shots in (("first", 0), ("second", 2)):
        (tmp_path / f"{name}.yaml").write_text(
            f"tasks: [{{task: microworld_known, num_fewshot: {shots}}}]\n"
        )
    both = {"extends": ["first.yaml", "second.yaml"]}
    with pytest.raises(
        SteelyardError, match=r"'first' and 'second' ask .* 'microworld_known' with another num_few"
    ):
        load_suite(both, folder=tmp_path)
    told = {**both, "tasks": [{"task": "microworld_known", "num_fewshot": 1}]}
    assert load_suite(told, folder=tmp_path).tasks[0].num_fewshot == 1


def test_a_limit_that_leaves_nothing_out_is_no_difference(tmp_path: Path) -> None:
    from steelyard.harness.compare import Scored
    from steelyard.harness.compare.comparability import inspect_task
    from tests.harness.scored_runs import rows as rows_of
    from tests.harness.scored_runs import scored as run_of

    held = [rows_of("known", "acc", [1, 0, 1])]
    base, limited = run_of("base", held), run_of("lora", held)
    signatures = tuple(s.model_copy(update={"limit": 100}) for s in limited.run.signatures)
    run = limited.run.model_copy(update={"signatures": signatures})
    differences, problems = inspect_task(base, Scored(run, limited.rows, None), "known")
    assert (differences, problems) == ([], [])


def test_a_task_without_documents_says_so(tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "own.py").write_text(
        "def none(documents): return documents.filter(lambda document: False)\n"
    )
    body = CHOICE.format(folder=tmp_path, shots=0) + "process_docs: !function own.none\n"
    (tmp_path / "tasks" / "odd.yaml").write_text(body)
    (tmp_path / "odd.jsonl").write_text(json.dumps(PLAIN) + "\n")
    with pytest.raises(SteelyardError, match="'odd' has no documents to ask"):
        build(load_suite({"include": ["tasks"], "tasks": ["odd"]}, folder=tmp_path))


def test_a_setting_that_nothing_reads_is_refused(tmp_path: Path) -> None:
    """`weight` was read into a suite and into nothing else."""
    with pytest.raises(SteelyardError, match="weight"):
        load_suite({"tasks": [{"task": "microworld_known", "weight": 2.0}]}, folder=tmp_path)


def test_what_an_incomplete_run_did_score_can_be_compared_and_the_rest_says_why() -> None:
    from steelyard.harness.compare import Scored, compare
    from steelyard.harness.gate import judge
    from steelyard.harness.gate.policy import Gate
    from steelyard.harness.records import Failure
    from tests.harness.scored_runs import rows as rows_of
    from tests.harness.scored_runs import scored as run_of

    held = [rows_of("known", "acc", [1, 0] * 20), rows_of("new", "acc", [1, 0] * 20)]
    base, part = run_of("base", held), run_of("lora", held[:1])
    failure = Failure(stage="score new", message="out of paper")
    run = part.run.model_copy(update={"complete": False, "failures": (failure,)})
    lora = Scored(run, part.rows, None)
    (comparison,) = compare(base, [lora], draws=1000)
    assert {d.task: d.n for d in comparison.deltas} == {"known": 40}
    assert "new: the candidate run 'lora' is incomplete: score new: out of paper" in (
        comparison.problems
    )
    gate = Gate.model_validate({"rules": [{"task": "known", "margin": 0.1}]})
    (verdict,) = judge(gate, base, [lora])
    assert verdict.exit_code == 3


def test_a_right_choice_that_ties_with_a_wrong_one_counts_as_lm_eval_has_it_and_is_counted(
    tmp_path: Path,
) -> None:
    """Weights of 16 bits make such ties: how often the order decides is no secret then."""
    rows = [row(n, ["able", "apt", "A"], n % 2) for n in range(4)]  # by first letters: a = a > A
    score = choice(tmp_path, [*rows, PLAIN])
    assert score.value == 3 / 5  # the first of the tied ones, as lm-eval's argmax
    assert score.unscored == 0 and score.flags == {"right and wrong choice tied": 4}


def test_a_document_that_asks_nothing_is_unscored(tmp_path: Path) -> None:
    rows = [{"q": "Name it", "a": "yes"}, {"q": None, "a": "yes"}, {"a": "yes"}]
    score = text(tmp_path, rows, "yes", "{{a}}")
    assert (score.value, score.n, score.flags) == (1.0, 1, {"empty question": 2})


@pytest.mark.parametrize(
    ("question", "says"),
    [
        (["a", "b"], "document 1 of 'odd': a template prints a list as Python does"),
        ({"a": "b"}, "document 1 of 'odd': a template prints a list as Python does"),
        (True, "document 1 of 'odd': a template prints true or false as Python does"),
    ],
)
def test_a_task_s_own_file_is_asked_without_python_s_spelling(
    tmp_path: Path, question: object, says: str
) -> None:
    """Whether the suite names the file or the task's YAML does."""
    body = TEXT.format(folder=tmp_path, target="{{a}}", more="")
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "odd.yaml").write_text(body)
    (tmp_path / "odd.jsonl").write_text(json.dumps({"q": question, "a": "x"}) + "\n")
    suite = load_suite({"include": ["tasks"], "tasks": ["odd"]}, folder=tmp_path)
    evaluation = evaluate(Answering(), build(suite), checkpoint=checkpoint(tmp_path))
    assert says in evaluation.failures[0].message and not evaluation.scores
