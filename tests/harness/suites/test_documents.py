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


def test_whole_numbers_are_read_as_a_table_with_gaps_has_them(tmp_path: Path) -> None:
    rows = [{**row, "richtig": f" {row['richtig']}.0"} for row in QUESTIONS]
    path = written(tmp_path, ".csv", rows)
    found = documents(tmp_path, path=path, fields=FIELDS, integers=["gold"])
    assert [d["gold"] for d in found] == [0, 1, 0, 1, 0, 1]
    for odd in ("1_000", "0.5", "True", "1e3"):
        written(tmp_path, ".csv", [{**QUESTIONS[0], "richtig": odd}])
        with pytest.raises(SteelyardError, match="line 2: field 'gold' is no whole number"):
            documents(tmp_path, path=path, fields=FIELDS, integers=["gold"])


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


def asked(folder: Path, rows: list[dict[str, Any]], **task: Any) -> list[tuple[str, str]]:
    """(prompt, target) of every document of a task over ``rows``, as a model is asked."""
    import yaml

    spec = {
        "task": "own", "dataset_path": "json", "test_split": "test",
        "output_type": "generate_until", "doc_to_text": "{{q}}\n{{i}}\nA:", "doc_to_target": "a",
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
        "generation_kwargs": {"until": ["\n"]}, "metadata": {"version": 1.0}, **task,
    }  # fmt: skip
    (folder / "own").mkdir(exist_ok=True)
    (folder / "own" / "own.yaml").write_text(yaml.safe_dump(spec))
    name = written(folder, ".jsonl", rows)
    entry = {"task": "own", "data": {"path": name}}
    built = build(load_suite({"include": ["own"], "tasks": [entry]}, folder=folder))
    requests = built.requests(Answering())["own"]
    (own,) = built.tasks
    return [(str(r.args[0]), str(own.task.doc_to_target(r.doc))) for r in requests]


def test_null_is_asked_as_nothing_and_never_as_the_word_none(tmp_path: Path) -> None:
    """As a training template has it: the same rows are learnt and asked in the same words."""
    from steelyard.harness.experiment import read_rows
    from steelyard.harness.plugins import DataSource

    rows = [{"q": "Name it", "i": None, "a": "x"}, {"q": "Name it", "a": "x"},
            {"q": "Name it", "i": "now", "a": "x"}]  # fmt: skip
    prompts = [prompt for prompt, _ in asked(tmp_path, rows)]
    joined = "{{ q ~ '\n' ~ i }}\n{{ [i, 'A:'] | join }}"
    assert [prompt for prompt, _ in asked(tmp_path, rows, doc_to_text=joined)] == [
        "Name it\n\nA:", "Name it\n\nA:", "Name it\nnow\nnowA:"
    ]  # fmt: skip
    assert prompts == ["Name it\n\nA:", "Name it\n\nA:", "Name it\nnow\nA:"]
    source = DataSource("d", tmp_path / "ours.jsonl", {"prompt": "{q}\n{i}\nA:", "completion": "a"})
    assert [row["prompt"] for row in read_rows(source, ("prompt", "completion"))] == prompts


@pytest.mark.parametrize(
    ("row", "task", "expected"),
    [
        ({"a": None}, {}, "line 2: the target is null"),
        ({"i": [1, 2]}, {}, "line 2: a template prints a list as Python does"),
        ({"i": {"k": 1}}, {}, "line 2: a template prints a list as Python does"),
        ({"a": True}, {}, "line 1: the target is no text"),
        ({"a": True}, {"doc_to_target": "{{ a }}"}, "line 1: a template prints true or false"),
        ({"i": True}, {}, "line 2: a template prints true or false as Python does"),
        (
            {"i": ["x", None]},
            {"output_type": "multiple_choice", "doc_to_choice": "i", "doc_to_target": 0,
             "doc_to_text": "q"},
            "line 2: choice 2 is null",
        ),
    ],
)  # fmt: skip
def test_what_has_no_words_of_its_own_is_refused_by_its_row(
    tmp_path: Path, row: dict[str, Any], task: dict[str, Any], expected: str
) -> None:
    whole = {"q": "Name it", "i": type(row.get("i"))() if "i" in row else "x", "a": "x"}
    whole |= {"i": ["y", "z"]} if isinstance(row.get("i"), list) and task else {}
    whole |= {"a": False} if row.get("a") is True else {}
    if not task and "i" in row:
        task = {"doc_to_text": "{{q}}{% if q == 'Which' %}{{ i }}{% endif %}"}
    bad = {"q": "Which", "a": "x", "i": "x", **row}
    with pytest.raises(SteelyardError) as caught:
        asked(tmp_path, [whole, bad], **task)
    assert expected in str(caught.value) and "ours.jsonl" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_document_is_what_its_row_says(tmp_path: Path) -> None:
    """Arrow's one type a column makes 1.0 of the 1, and gives each object the other's keys."""
    rows: list[dict[str, Any]] = [
        {
            "n": 1,
            "options": {"A": "x", "B": "y"},
            "name": "null",
            "code": "007",
            "day": "2024-01-02",
        },
        {"n": 2.5, "options": {"A": "z"}, "name": "NA", "code": "8", "day": "2024-01-03"},
    ]
    found = documents(tmp_path, path=written(tmp_path, ".jsonl", rows), fields={
        "question": "{n}", "choices": ["name", "code"], "gold": "n", "topic": "day",
    })  # fmt: skip
    assert [{key: document[key] for key in rows[0]} for document in found] == rows
    assert [document["question"] for document in found] == ["1", "2.5"]
    assert repr(found[0]["n"]) == "1"


@pytest.mark.parametrize(
    ("value", "expected"),
    [("two", "the column 'n' holds values of two kinds"), (2**70, "of more than 64 bits")],
)
def test_a_column_of_two_kinds_is_named(tmp_path: Path, value: object, expected: str) -> None:
    rows = [{**QUESTIONS[0], "n": 1}, {**QUESTIONS[1], "n": value}]
    with pytest.raises(SteelyardError, match=f"ours.jsonl: .*{expected}"):
        documents(tmp_path, path=written(tmp_path, ".jsonl", rows), fields=FIELDS)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("own.jsonl", '{"q": "When ?", "a": "2024-01-02"}\n', "reads 'a' as datetime.datetime("),
        ("own.csv", "q,a\nWhich ?,x\nWho ?,\n", None),
    ],
)
def test_a_file_that_the_library_reads_otherwise_than_it_stands_is_refused_by_its_row(
    tmp_path: Path, name: str, content: str, expected: str | None
) -> None:
    """huggingface/datasets #4467 ("null"), huggingface/course #692 (dates)."""
    (tmp_path / name).write_text(content)
    (tmp_path / "tasks").mkdir()
    kind = "csv" if name.endswith("csv") else "json"
    (tmp_path / "tasks" / "own.yaml").write_text(
        f"task: own\ndataset_path: {kind}\n"
        f"dataset_kwargs: {{data_files: {{test: {tmp_path / name}}}}}\ntest_split: test\n"
        "output_type: generate_until\ndoc_to_text: '{{q}}'\ndoc_to_target: '{{a}}'\n"
        "metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]\n"
    )
    entry: dict[str, Any] = {"include": ["tasks"], "tasks": ["own"]}
    if expected is None:
        assert len(build(load_suite(entry, folder=tmp_path)).tasks) == 1
        return
    with pytest.raises(SteelyardError, match=r"have Steelyard read it: \{task: own, data:") as told:
        build(load_suite(entry, folder=tmp_path))
    assert expected in str(told.value) and str(told.value).startswith(str(tmp_path / name))
    # ... and the advice works.
    advised = {"include": ["tasks"], "tasks": [{"task": "own", "data": {"path": name}}]}
    (task,) = build(load_suite(advised, folder=tmp_path)).tasks
    assert len(task.documents) == content.count("\n") - kind.count("csv")
