"""A table with a score for each item becomes a run, or one line that says what is wrong with it."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steelyard.harness.errors import ConfigError, SteelyardError
from steelyard.harness.imports.item_columns import ItemColumns, MetricColumn
from steelyard.harness.imports.items import ItemSettings, read_items
from tests.harness.imports.conftest import Steelyard


def table(path: Path, header: str, *lines: str) -> Path:
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def test_mmlus_published_test_comes_out_of_a_plain_csv(
    real_data: Path, steelyard: Steelyard
) -> None:
    with (real_data / "mmlu_checkpoints" / "per_item.csv").open() as file:
        rows = list(csv.DictReader(file))
    with Path("mmlu.csv").open("w") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "subject", "at0", "at50", "at100"])
        for row in rows:
            right = [int(row[f"ckpt{n}"] == row["answer"]) for n in (0, 50, 100)]
            writer.writerow([f"{row['subject']}/{row['idx']}", row["subject"], *right])
    for n in (0, 50, 100):
        done = steelyard("import", "items", "mmlu.csv", "-m", f"acc=at{n}", "--name", f"ckpt{n}")
        assert done.code == 0
        assert "12343 samples" in done.out
    from steelyard.harness.compare import Scored, compare
    from steelyard.harness.store import open_store

    store = open_store(Path(".steelyard"))
    runs = [Scored.from_store(store, f"imported/ckpt{n}") for n in (0, 50, 100)]
    assert [round(run.run.scores[0].value or 0, 4) for run in runs] == [0.4692, 0.4668, 0.4623]
    half, whole = compare(runs[0], runs[1:], slices=False)
    assert half.deltas[0].p_value == pytest.approx(0.39, abs=0.005)
    assert whole.deltas[0].p_value == pytest.approx(0.015, abs=0.0005)
    assert (whole.flip_counts[0].lost, whole.flip_counts[0].gained) == (640, 555)


def test_gsm8k_solutions_come_out_of_jsonl(real_data: Path, tmp_path: Path) -> None:
    source = (real_data / "gsm8k" / "example_model_solutions.jsonl").read_text().splitlines()
    values = {}
    for model in ("6b_finetuning", "6b_verification"):
        file = tmp_path / f"{model}.jsonl"
        lines = [json.loads(line) for line in source]
        file.write_text(
            "\n".join(
                json.dumps({"id": i, "prompt": d["question"], "acc": d[model]["is_correct"]})
                for i, d in enumerate(lines)
            )
        )
        run = read_items(file, ItemColumns()).run
        assert run.scores[0].n == 1319
        values[run.candidate] = round(run.scores[0].value or 0, 3)
    assert values == {"6b_finetuning": 0.217, "6b_verification": 0.390}


def test_columns_are_found_by_their_names_and_numbers(tmp_path: Path) -> None:
    file = table(
        tmp_path / "new.csv", "id,task,prompt,acc,rouge", "1,a,Why?,1,.5", "2,a,Who?,0,.25",
        "1,b,How?,1,1",
    )  # fmt: skip
    imported = read_items(file, ItemColumns())
    kinds = {(s.task, s.metric): (s.kind, s.value, s.n) for s in imported.run.scores}
    assert kinds == {
        ("a", "acc"): ("accuracy", 0.5, 2),
        ("a", "rouge"): ("bounded", 0.375, 2),
        ("b", "acc"): ("accuracy", 1.0, 1),
        ("b", "rouge"): ("accuracy", 1.0, 1),
    }
    assert [s.prompt for s in imported.samples] == ["Why?", "Who?", "How?"]
    assert imported.run.candidate == "new"


def test_perplexity_is_a_row_of_two_columns(tmp_path: Path) -> None:
    file = table(tmp_path / "x.csv", "id,ll,words", "1,-10,4", "2,-14,8")
    columns = ItemColumns(metrics=(MetricColumn.parse("word_perplexity=ll,words:perplexity"),))
    score = read_items(file, columns).run.scores[0]
    assert score.value == pytest.approx(math.exp(24 / 12))
    assert (score.kind, score.higher_is_better) == ("perplexity", False)


def test_less_is_better_where_the_user_says_so(tmp_path: Path) -> None:
    file = table(tmp_path / "x.csv", "id,loss", "1,.5", "2,.25")
    assert not read_items(file, ItemColumns(lower=("loss",))).run.scores[0].higher_is_better


@pytest.mark.parametrize("name", ["loss", "wer", "val_loss", "perplexity", "latency-ms"])
def test_less_is_better_where_the_name_says_so_and_that_is_said(tmp_path: Path, name: str) -> None:
    """Else a candidate with twice the loss would pass as the better one."""
    imported = read_items(table(tmp_path / "x.csv", f"id,{name}", "1,3", "2,4"), ItemColumns())
    assert not imported.run.scores[0].higher_is_better
    assert imported.remarks == (
        f"metric '{name}': less is better, as its name says; rename the column if more is",
    )
    plain = read_items(table(tmp_path / "y.csv", "id,acc,better", "1,1,3", "2,0,4"), ItemColumns())
    assert all(score.higher_is_better for score in plain.run.scores) and not plain.remarks


@pytest.mark.parametrize(
    ("header", "lines", "says"),
    [
        ("id,task,acc", ["1,a,1", "2,,0"], "line 3: 'task' is empty; name the row's task"),
        ("id,acc", ["1,1", '"1 ",0'], "the id '1 ' stands twice (line 2 and line 3"),
    ],
)
def test_an_id_and_a_task_are_what_a_reader_sees(
    tmp_path: Path, header: str, lines: list[str], says: str
) -> None:
    with pytest.raises(SteelyardError) as caught:
        read_items(table(tmp_path / "x.csv", header, *lines), ItemColumns())
    assert says in str(caught.value)
    one = read_items(table(tmp_path / "y.csv", "id,task,acc", "1,a,1", '2,"a ",0'), ItemColumns())
    assert [(score.task, score.value) for score in one.run.scores] == [("a", 0.5)]


def test_a_metric_that_only_later_rows_have_is_one_with_gaps(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"id": 1, "acc": 1}\n{"id": 2, "acc": 0, "f1": 0.5}\n')
    with pytest.raises(SteelyardError, match=r"line 1: 'f1' is empty \(1 of 2 rows\)"):
        read_items(path, ItemColumns())


def test_a_reworded_prompt_is_another_item(tmp_path: Path) -> None:
    one = table(tmp_path / "1.csv", "id,prompt,acc", "1,Why?,1", "2,Who?,1")
    two = table(tmp_path / "2.csv", "id,prompt,acc", "2,Who?,1", "1,Why is that?,1")
    first, second = (read_items(f, ItemColumns()).rows[0].sample_ids for f in (one, two))
    assert len(set(first) & set(second)) == 1


def test_two_versions_of_a_task_do_not_compare(steelyard: Steelyard) -> None:
    table(Path("a.csv"), "id,acc", *(f"{i},1" for i in range(30)))
    steelyard("import", "items", "a.csv", "--name", "base", "--task-version", "1")
    steelyard("import", "items", "a.csv", "--name", "new", "--task-version", "2")
    done = steelyard("compare", "imported/base", "imported/new")
    assert done.code == 3
    assert "version 1" in done.out


@pytest.mark.parametrize(
    ("header", "lines", "options", "says"),
    [
        ("id,acc", ["1,1", "2,", "3,0"], [], "line 3: 'acc' is empty (1 of 3 rows)"),
        ("id,acc", ["1,1", "2,nan", "3,0"], [], "line 3: 'acc' is no finite number ('nan')"),
        ("id,acc", ["7,1", "8,1", "7,0"], [], "the id '7' stands twice (line 2 and line 4"),
        ("id,acc", ["1,1", ",0"], [], "line 3: 'id' is empty"),
        ("id,acc", ["1,1", "2"], [], "has not as many cells as the header"),
        ("id,acc", [], [], "no rows"),
        ("id,text", ["1,a"], [], "no column of numbers"),
        ("id,acc", ["1,1"], ["-m", "ac"], "did you mean 'acc'"),
        ("id,acc", ["1,1"], ["--id", "qid"], "no column 'qid'"),
        ("id,acc", ["1,.5"], ["-m", "acc:accuracy"], "must be 0 or 1"),
        ("id,acc", ["1,1"], ["-m", "acc:bounde"], "did you mean 'bounded'"),
        ("id,acc", ["1,1"], ["-m", "acc:perplexity"], "has 2 columns"),
        ("id,acc", ["1,1"], ["--lower", "loss"], "no metric 'loss'"),
        ("id,acc", ["1,1"], ["--name", "a/b"], "cannot name a candidate"),
    ],
)
def test_a_table_that_cannot_be_used_is_one_line_and_nothing_is_written(
    steelyard: Steelyard, header: str, lines: list[str], options: list[str], says: str
) -> None:
    table(Path("x.csv"), header, *lines)
    done = steelyard("import", "items", "x.csv", *options)
    assert done.code == 2
    assert says in done.err
    assert len(done.err.splitlines()) == 1
    assert not Path(".steelyard/runs").exists()


@settings(max_examples=60, deadline=None)
@given(values=st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=20))
def test_rows_are_the_numbers_of_the_file_to_the_last_bit(
    values: list[float], tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("items") / "x.csv"
    table(file, "id,score", *(f"{i},{value!r}" for i, value in enumerate(values)))
    columns = ItemColumns(metrics=(MetricColumn.parse("score:bounded"),))
    rows = read_items(file, columns, ItemSettings(name="x")).rows[0]
    assert rows.values[:, 0].tolist() == values


@given(text=st.text(max_size=30))
def test_any_metric_text_is_read_or_refused_in_one_line(text: str) -> None:
    try:
        metric = MetricColumn.parse(text)
    except ConfigError as error:
        assert "\n" not in str(error)
        assert isinstance(error, SteelyardError)
    else:
        assert metric.name
        assert all(metric.columns)


def test_every_mistake_of_a_table_is_told_at_once(steelyard: Steelyard) -> None:
    table(Path("x.csv"), "id,acc,loss", "1,,.5", ",1,nan", "3,0,.5", "3,1,.5")
    done = steelyard("import", "items", "x.csv", "-m", "acc", "-m", "loss")
    assert done.code == 2
    lines = [line.removeprefix("error: x.csv: ") for line in done.err.splitlines()]
    assert [line.partition(";")[0] for line in lines] == [
        "line 2: 'acc' is empty (1 of 4 rows)",
        "line 3: 'loss' is no finite number ('nan') (1 of 4 rows)",
        "line 3: 'id' is empty",
        "the id '3' stands twice (line 4 and line 5",
    ]
    unknown = steelyard("import", "items", "x.csv", "-m", "ac", "--cluster", "topic")
    assert [line.split(": ")[2] for line in unknown.err.splitlines()] == ["--cluster", "--metric"]


def test_a_missing_cluster_is_no_cluster_of_all_that_miss_one(tmp_path: Path) -> None:
    # As pandas writes a missing value into JSONL and Parquet: not a number.
    file = tmp_path / "x.jsonl"
    items = [{"id": f"q{i}", "acc": i % 2, "passage": math.nan} for i in range(40)]
    file.write_text("\n".join(map(json.dumps, items)))
    imported = read_items(file, ItemColumns(cluster="passage"))
    assert set(imported.rows[0].clusters) == {None}
    score = imported.run.scores[0]
    # Wilson's interval for 20 of 40, by statsmodels 0.14.
    assert (score.low, score.high) == (
        pytest.approx(0.351995, abs=1e-6),
        pytest.approx(0.648005, abs=1e-6),
    )


def test_a_metric_with_gaps_is_refused_and_not_left_out_for_another(tmp_path: Path) -> None:
    lines = [f"q{i},{1 if i < 4 else 'N/A'},{10 * i}" for i in range(10)]
    file = table(tmp_path / "x.csv", "id,acc,latency", *lines)
    with pytest.raises(SteelyardError, match=r"line 6: 'acc' .* \(6 of 10 rows\)"):
        read_items(file, ItemColumns())


def test_what_only_python_reads_as_a_number_is_none(tmp_path: Path) -> None:
    file = table(tmp_path / "x.csv", "id,acc", "a,1_0", "b,2_0")
    with pytest.raises(SteelyardError, match="no column of numbers"):
        read_items(file, ItemColumns())


def test_a_candidate_in_per_cent_is_not_better_than_a_baseline_in_shares(
    steelyard: Steelyard,
) -> None:
    # .62 against .50: twelve points worse, and 49 "points" better where nobody looks.
    right = {"base": [int(i % 50 < 31) for i in range(200)], "new": [i % 2 for i in range(200)]}
    for name, factor in (("base", 1), ("new", 100)):
        lines = [f"q{i},{value * factor},{0.3 * value * factor + factor / 10}"
                 for i, value in enumerate(right[name])]  # fmt: skip
        table(Path(f"{name}.csv"), "id,acc,rouge", *lines)
        assert steelyard("import", "items", f"{name}.csv").code == 0
    Path("policy.yaml").write_text(
        "rules:\n  - {task: items, metric: acc, margin: 0.02}\n"
        "  - {task: items, metric: rouge, margin: 1}\n"
    )
    done = steelyard("gate", "imported/new", "-p", "policy.yaml", "-b", "imported/base")
    assert done.code == 3, done.out
    assert "another scale: 0 to 1 in the baseline, 0 to 100 in the candidate" in done.out
    Path("floor.yaml").write_text("rules: [{task: items, metric: acc, min: 0.4}]\n")
    done = steelyard("gate", "imported/new", "-p", "floor.yaml", "-b", "imported/base")
    assert done.code == 2
    assert "acc is 50, which is no share, so a floor below 1 never fails" in done.err


def test_pandas_index_is_no_metric_and_that_is_said(steelyard: Steelyard) -> None:
    """`to_csv()` writes it without a name: its mean would be a metric called ''."""
    table(Path("x.csv"), ",id,acc", "0,a,1", "1,b,0", "2,c,1")
    done = steelyard("import", "items", "x.csv")
    assert done.code == 0
    assert "column 'Unnamed: 0' left out: the number of the row that pandas writes" in done.err
    run = read_items(Path("x.csv"), ItemColumns()).run
    assert [(score.metric, score.value) for score in run.scores] == [("acc", 2 / 3)]


def test_a_key_that_stands_twice_in_one_object_is_refused(tmp_path: Path) -> None:
    # JSON's own rule, the last one wins, would make a wrong answer of a right one.
    file = tmp_path / "x.jsonl"
    file.write_text('{"id": "a", "acc": 1, "acc": 0}\n{"id": "b", "acc": 1}\n')
    with pytest.raises(SteelyardError, match=r"line 1 is not JSON: .*'acc'"):
        read_items(file, ItemColumns())


def test_one_item_under_ten_ids_is_one_item(tmp_path: Path) -> None:
    lines = [f"q{i}-{copy},Is {i} even?,{i % 2}" for i in range(30) for copy in range(10)]
    copies = read_items(table(tmp_path / "a.csv", "id,prompt,acc", *lines), ItemColumns())
    once = read_items(table(tmp_path / "b.csv", "id,prompt,acc", *lines[::10]), ItemColumns())
    assert len(set(copies.rows[0].clusters)) == 30
    (wide,), (plain,) = copies.run.scores, once.run.scores
    assert wide.value == plain.value == 0.5
    # 300 rows, and no more certain than 30.
    assert wide.low is not None and plain.low is not None
    assert wide.low == pytest.approx(plain.low, abs=0.02)


def test_minus_one_beside_zeros_and_ones_is_no_score_unless_somebody_says_so(
    tmp_path: Path,
) -> None:
    file = table(tmp_path / "x.csv", "id,acc", "a,1", "b,-1", "c,1")
    with pytest.raises(SteelyardError, match=r"'acc' is -1 beside 0 and 1.*--metric acc:bounded"):
        read_items(file, ItemColumns())
    columns = ItemColumns(metrics=(MetricColumn.parse("acc:bounded"),))
    assert read_items(file, columns).run.scores[0].value == pytest.approx(1 / 3)
