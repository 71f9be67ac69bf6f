"""Tables, the hub's files and MLflow hold the numbers of the run."""

from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path

import pytest
import yaml

from steelyard.harness.compare import Scored
from steelyard.harness.errors import ConfigError, MissingExtraError
from steelyard.reports.exports.eval_results import eval_results_files, parse_benchmarks
from steelyard.reports.exports.every_eval_ever import every_eval_ever
from steelyard.reports.exports.mlflow_sink import _name, log_run
from steelyard.reports.exports.tables import csv_files, parquet_files
from tests.harness.imports.conftest import Steelyard
from tests.reports.fake_runs import fake_run


def test_csv_holds_every_score_at_full_precision(scored: Scored) -> None:
    files = dict(csv_files([scored]))
    lines = list(csv.DictReader(io.StringIO(files["scores.csv"])))
    assert len(lines) == len(scored.run.scores)
    for line, score in zip(lines, scored.run.scores, strict=True):
        assert (line["task"], line["metric"]) == (score.task, score.metric)
        assert float(line["value"]) == score.value
        assert int(line["n"]) == score.n
    name = f"rows_{scored.run.id[:12]}.csv"
    rows = list(csv.DictReader(io.StringIO(files[name])))
    assert len(rows) == sum(len(r.sample_ids) for r in scored.rows.values())
    bleu = [line for line in rows if line["metric"] == "bleu"]
    values = scored.rows["microworld_translate", "bleu"].values
    assert [list(map(float, line["values"].split())) for line in bleu] == values.tolist()


def test_parquet_is_read_by_pandas_with_its_types(scored: Scored, tmp_path: Path) -> None:
    import pandas as pd

    for name, content in parquet_files([scored]):
        (tmp_path / name).write_bytes(content)
    scores = pd.read_parquet(tmp_path / "scores.parquet")
    assert scores["value"].tolist() == [s.value for s in scored.run.scores]
    assert scores["higher_is_better"].dtype == bool
    rows = pd.read_parquet(tmp_path / f"rows_{scored.run.id[:12]}.parquet")
    assert int(rows["scored"].sum()) == sum(int(r.scored.sum()) for r in scored.rows.values())


def test_a_formula_in_a_name_is_no_formula_in_the_csv(scored: Scored) -> None:
    run = scored.run.model_copy(update={"candidate": '=HYPERLINK("http://x")'})
    text = dict(csv_files([Scored(run, scored.rows)]))["scores.csv"]
    line = next(csv.DictReader(io.StringIO(text)))
    assert line["candidate"].startswith("'=")


def test_missing_energy_is_an_empty_cell(scored: Scored) -> None:
    text = dict(csv_files([scored]))["energy.csv"]
    line = next(csv.DictReader(io.StringIO(text)))
    assert (line["energy_kwh"], line["grade"]) == ("", "unavailable")


def test_the_hub_parses_the_eval_results(steelyard: Steelyard) -> None:
    from huggingface_hub._eval_results import parse_eval_result_entries

    run = fake_run("dpo")
    benchmarks = parse_benchmarks(["microworld_known=us/microworld:known"])
    ((name, text),) = eval_results_files(run, benchmarks)
    assert name == ".eval_results/microworld_known.yaml"
    (entry,) = parse_eval_result_entries(yaml.safe_load(text))
    assert (entry.dataset_id, entry.task_id, entry.value) == ("us/microworld", "known", 0.86)
    assert "correct" in (entry.notes or "")


@pytest.mark.parametrize("text", ["known", "known=", "known=microworld", "=us/x", "known=us/../x"])
def test_what_is_no_data_set_of_the_hub_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="openai/gsm8k"):
        parse_benchmarks([text])


def test_a_task_that_was_not_scored_has_no_eval_result() -> None:
    benchmarks = parse_benchmarks(["microworld_knwon=us/microworld"])
    with pytest.raises(ConfigError, match="did you mean 'microworld_known'"):
        list(eval_results_files(fake_run("dpo"), benchmarks))


def test_the_command_writes_every_format_of_files(
    lm_eval_output: Path, steelyard: Steelyard
) -> None:
    steelyard("import", "lm-eval", lm_eval_output, "--name", "base")
    targets = ("csv", "parquet", "every-eval", "model-card", "eval-results", "lm-eval")
    options = [word for target in targets for word in ("--to", target)]
    dataset = "microworld_choice=us/microworld:choice"
    done = steelyard("export", "imported/base", *options, "--dataset", dataset, "-o", "out")
    assert done.code == 0, done.err
    for line in done.out.splitlines():
        assert Path(line).stat().st_size > 0
    assert not list(Path("out").rglob(".*.tmp*"))
    record = json.loads(Path("out/imported__base.every_eval_ever.json").read_text())
    assert record["schema_version"] == "0.3.0"
    assert Path("out/imported__base/.eval_results/microworld_choice.yaml").is_file()
    card = Path("out/imported__base/README.md").read_text()
    assert "microworld_choice" in card


def test_an_imported_run_is_a_valid_every_eval_ever_record(real_data: Path, scored: Scored) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    schema = json.loads((real_data / "schemas/every_eval_ever-eval.schema.json").read_text())
    record = json.loads(json.dumps(every_eval_ever(scored.run, organization="Us")))
    jsonschema.validate(record, schema)
    assert len(record["evaluation_results"]) == len(scored.run.scores)


def test_the_help_page_has_an_example(steelyard: Steelyard) -> None:
    done = steelyard("export", "--help")
    assert done.code == 0
    assert "steelyard export microworld-demo/lora --to lm-eval" in " ".join(done.out.split())


def test_mlflow_shows_the_run_its_metrics_and_its_record(tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="mlflow is not installed (the extra `mlflow`)")
    from mlflow.tracking import MlflowClient

    run, uri = fake_run("dpo"), f"file:{tmp_path / 'mlruns'}"
    id = log_run(run, uri)
    assert id is not None
    assert log_run(run, uri) is None
    client = MlflowClient(tracking_uri=uri)
    experiment = client.get_experiment_by_name(run.experiment)
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.run_name == run.candidate
    for score in run.scores:
        assert found.data.metrics[f"{score.task}/{score.metric}"] == score.value
    assert found.data.metrics["energy_kwh/train"] == pytest.approx(run.energy[0].energy_kwh)
    artifacts = {file.path for file in client.list_artifacts(id)}
    assert artifacts == {"run.json", "README.md"}


def test_without_mlflow_the_error_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    monkeypatch.setitem(sys.modules, "mlflow.exceptions", None)
    with pytest.raises(MissingExtraError, match=r"steelyard\[mlflow\]"):
        log_run(fake_run("dpo"), f"file:{tmp_path}")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("a/b", "a/b"),
        ("../../etc/passwd", "etc/passwd"),
        ("acc,none", "acc_none"),
        ("/", "unnamed"),
    ],
)
def test_a_metrics_name_stays_in_mlflows_folder(given: str, expected: str) -> None:
    assert _name(given) == expected


def test_the_address_of_mlflow_is_printed_without_its_password(
    steelyard: Steelyard, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    logged: list[str] = []

    def log(run: object, uri: str) -> str:
        logged.append(uri)
        return "0123"

    monkeypatch.setattr("steelyard.harness.cli.verbs.exporting.log_run", log)
    (tmp_path / "new.csv").write_text("id,acc\nq1,1\nq2,0\n")
    steelyard("import", "items", str(tmp_path / "new.csv"))
    uri = "https://ann:hunter2@mlflow.example"
    said = steelyard("export", "imported/new", "--to", "mlflow", "--tracking-uri", uri)
    assert logged == [uri]
    assert said.out == "imported/new  0123  https://ann:***@mlflow.example\n"
