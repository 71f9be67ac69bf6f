"""A task's documents from the user's own files, and metrics of ``evaluate`` beside its own."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from steelyard.harness.errors import SteelyardError
from steelyard.harness.evaluation.evaluating import build, evaluate
from steelyard.harness.suites.suite import load_suite
from tests.harness.toy_suite import Answering, checkpoint, write_suite

QUESTIONS = [
    {"frage": f"Was ist {n} + {n} ?", "a": str(2 * n), "b": f"{n}9", "richtig": n % 2, "thema": "x"}
    for n in range(6)
]
FIELDS = {"question": "{frage}", "choices": ["a", "b"], "gold": "richtig", "topic": "thema"}


def written(folder: Path, suffix: str, rows: list[dict[str, Any]] = QUESTIONS) -> str:
    path = folder / f"ours{suffix}"
    if suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    else:
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path.name


def suite(folder: Path, **entry: Any):  # type: ignore[no-untyped-def]
    write_suite(folder) if not (folder / "toy.yaml").exists() else None
    spec = {"include": ["tasks"], "tasks": [{"task": "toy_choice", "num_fewshot": 0, **entry}]}
    return load_suite(spec, folder=folder)


def documents(folder: Path, **data: Any) -> list[dict[str, Any]]:
    (task,) = build(suite(folder, data=data)).tasks
    return list(task.documents)


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_a_task_reads_its_documents_from_any_kind_of_file(tmp_path: Path, suffix: str) -> None:
    found = documents(tmp_path, path=written(tmp_path, suffix), fields=FIELDS, integers=["gold"])
    assert [d["question"] for d in found] == [row["frage"] for row in QUESTIONS]
    assert [d["choices"] for d in found] == [[row["a"], row["b"]] for row in QUESTIONS]
    assert [d["gold"] for d in found] == [0, 1, 0, 1, 0, 1]


def test_its_prompts_targets_and_metrics_go_on_as_before(tmp_path: Path) -> None:
    data = {"path": written(tmp_path, ".jsonl"), "fields": FIELDS}
    built = build(suite(tmp_path, data=data))
    prompts = {request.args[0] for request in built.requests(Answering())["toy_choice"]}
    assert prompts == {f"Q: {row['frage']}\nA:" for row in QUESTIONS}
    lm = Answering(lambda context, text: 0.0 if text.strip().endswith("9") else -1.0)
    scores = evaluate(lm, built, checkpoint=checkpoint(tmp_path)).scores
    assert next(s.value for s in scores if s.metric == "acc") == 0.5
    assert next(s.chance for s in scores if s.metric == "acc") == 0.5  # two choices here, not four


def test_the_same_limit_keeps_the_same_items_whatever_their_order(tmp_path: Path) -> None:
    kept = []
    for name, rows in (("one", QUESTIONS), ("two", QUESTIONS[::-1])):
        (tmp_path / name).mkdir()
        data = {"path": written(tmp_path / name, ".jsonl", rows), "fields": FIELDS}
        (task,) = build(suite(tmp_path / name, data=data, limit=3)).tasks
        kept.append({document["question"] for document in task.documents})
    assert kept[0] == kept[1] and len(kept[0]) == 3


def test_examples_come_from_a_file_of_their_own_or_not_at_all(tmp_path: Path) -> None:
    data = {"path": written(tmp_path, ".jsonl"), "fields": FIELDS}
    with pytest.raises(
        SteelyardError, match=r"shows 2 examples, and its data have none; name a file"
    ):
        build(suite(tmp_path, data=data, num_fewshot=2))
    shots = tmp_path / "shots_ours.jsonl"
    shots.write_text(json.dumps({**QUESTIONS[0], "frage": "Shot?"}) + "\n")
    built = build(suite(tmp_path, data={**data, "few_shot": shots.name}, num_fewshot=1))
    prompts = [request.args[0] for request in built.requests(Answering())["toy_choice"]]
    assert all(prompt.startswith("Q: Shot?\nA: 0\n\n") for prompt in prompts)


def test_a_column_that_only_later_rows_have_is_kept(tmp_path: Path) -> None:
    rows = [QUESTIONS[0], {**QUESTIONS[1], "t": 0.9}]
    found = documents(tmp_path, path=written(tmp_path, ".jsonl", rows), fields=FIELDS)
    assert [document["t"] for document in found] == [None, 0.9]


def test_a_template_does_not_write_none_for_a_column_without_a_value(tmp_path: Path) -> None:
    rows = [QUESTIONS[0], {**QUESTIONS[1], "a": None}]
    data = {"path": written(tmp_path, ".jsonl", rows)}
    wanted = r"ours.jsonl: .*line 2: .*field 'question' needs a value in the column 'a'"
    with pytest.raises(SteelyardError, match=wanted):
        documents(tmp_path, **data, fields=FIELDS | {"question": "{frage} #### {a}"})
    found = documents(tmp_path, **data, fields=FIELDS | {"note": "a"})
    assert [document["note"] for document in found] == ["0", None]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"path": "none.jsonl"}, r"tasks.0.data: .*none.jsonl: no such data file; did you mean"),
        ({"path": "ours.jsonl", "fields": {"question": "fraeg"}}, "line 1: field 'question' needs "
         "the column 'fraeg'; did you mean 'frage'"),
        ({"path": "ours.jsonl", "fields": FIELDS, "integers": ["question"]}, "is no whole number"),
        ({"path": "ours.jsonl", "hub": "x/y"}, "either path .* or hub"),
        ({"hub": "x/y"}, "needs its revision"),
        ({"pfad": "ours.jsonl"}, "did you mean 'path'"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_that_names_it(
    tmp_path: Path, data: dict[str, Any], said: str
) -> None:
    written(tmp_path, ".jsonl")
    with pytest.raises(SteelyardError, match=said) as caught:
        build(suite(tmp_path, data=data))
    assert "\n" not in str(caught.value)


def test_a_tasks_own_yaml_reads_a_file_under_plain_lm_eval_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lm_eval.tasks import TaskManager

    monkeypatch.setenv("MY_DATA", str(tmp_path))
    written(tmp_path, ".csv")
    (tmp_path / "mine.yaml").write_text(
        "task: mine\ncustom_dataset: !function steelyard.tasks.local_data.documents\n"
        "dataset_kwargs:\n  path: $MY_DATA/ours.csv\n  integers: [richtig]\n"
        "  fields: {text: 'Q {frage}'}\n"
        "test_split: test\noutput_type: multiple_choice\ndoc_to_text: text\n"
        "doc_to_choice: ['{{a}}', '{{b}}']\ndoc_to_target: richtig\nnum_fewshot: 0\n"
        "metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]\n"
    )
    manager = TaskManager(include_path=str(tmp_path), include_defaults=False)
    task = manager.load(["mine"])["tasks"]["mine"]
    assert [d["text"] for d in task.test_docs()] == [f"Q {row['frage']}" for row in QUESTIONS]


METRIC = """
import datasets, evaluate

class Overlap(evaluate.Metric):
    def _info(self):
        features = {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
        return evaluate.MetricInfo(
            description="", citation="", features=datasets.Features(features)
        )

    def _compute(self, predictions, references, scale=1.0):
        said, true = set(predictions[0].split()), set(references[0].split())
        return {"overlap": scale * len(said & true) / len(true), "n": 1}
"""


def test_a_local_evaluate_metric_gives_a_row_for_each_sample(tmp_path: Path) -> None:
    write_suite(tmp_path)
    (tmp_path / "overlap.py").write_text(METRIC)
    asked = {"module": "overlap.py", "result": "overlap", "options": {"scale": 2.0}}
    spec = {"include": ["tasks"], "tasks": [{"task": "toy_translate", "evaluate": [asked]}]}
    built = build(load_suite(spec, folder=tmp_path))
    found = evaluate(Answering(), built, checkpoint=checkpoint(tmp_path))
    assert not found.failures
    rows = next(r for r in found.rows if r.metric == "evaluate_overlap")
    targets = [sample.target.split() for sample in found.samples]
    expected = [2 * len({"alpha", "beta"} & set(target)) / len(set(target)) for target in targets]
    assert rows.values[:, 0] == pytest.approx(expected)
    score = next(s for s in found.scores if s.metric == "evaluate_overlap")
    assert score.value == pytest.approx(sum(expected) / len(expected))
    assert score.low < score.value < score.high and not score.primary
    plain = build(load_suite({**spec, "tasks": ["toy_translate"]}, folder=tmp_path))
    assert plain.digest != built.digest  # the run without it does not stand in for this one


@pytest.mark.parametrize(
    ("task", "asked", "said"),
    [
        ("toy_translate", {"module": "overlap.py"}, "gives overlap, n"),
        ("toy_translate", {"module": "overlap.py", "result": "overlp"}, "did you mean 'overlap'"),
        ("toy_choice", {"module": "overlap.py", "result": "overlap"}, "generates no text"),
        ("toy_translate", {"module": "no_such_metric_here"}, "has no 'no_such_metric_here'"),
    ],
)
def test_what_evaluate_cannot_measure_is_a_failure_that_says_why(
    tmp_path: Path, task: str, asked: dict[str, Any], said: str
) -> None:
    write_suite(tmp_path)
    (tmp_path / "overlap.py").write_text(METRIC)
    spec = {"include": ["tasks"], "tasks": [{"task": task, "evaluate": [asked]}]}
    found = evaluate(
        Answering(), build(load_suite(spec, folder=tmp_path)), checkpoint=checkpoint(tmp_path)
    )
    assert said in found.failures[0].message
