"""load, compare, gate and report on runs that are there already."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import steelyard
from steelyard.harness.store import open_store
from tests.harness.gate.toy_gate import POLICY, SAMPLES, toy_run, write_toy_gate

RULES = yaml.safe_load(POLICY)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with baseline files, a policy and a workspace of three runs."""
    folder = tmp_path_factory.mktemp("place")
    write_toy_gate(folder)
    store = open_store(folder / ".steelyard")
    for name, lost in (("base", 0), ("good", 10), ("bad", 90)):
        run = toy_run(name, lost, 10 if name == "good" else 0)
        record = run.run.model_copy(update={"experiment": "toy"})
        store.put(record, list(run.rows.values()), [])
    return folder


@pytest.fixture(scope="module")
def workspace(place: Path) -> Path:
    return place / ".steelyard"


def test_a_run_is_tables_with_a_line_a_score_and_a_line_a_row(workspace: Path) -> None:
    run = steelyard.load("toy/good", workspace=workspace)
    assert list(run.scores["task"]) == ["known", "style"]
    assert run.scores["value"].between(0, 1).all()
    assert len(run.rows) == 2 * SAMPLES
    assert set(run.rows["metric"]) == {"acc"}
    known = run.rows[run.rows["task"] == "known"]
    values = known["values"].map(lambda row: row[0])
    assert values.mean() == pytest.approx(run.record.score("known", "acc").value)
    assert run.samples.empty
    assert "prompt" in run.samples.columns


def test_tables_of_several_runs_go_below_one_another(workspace: Path) -> None:
    import pandas as pd

    runs = [steelyard.load(f"toy/{name}", workspace=workspace) for name in ("base", "bad")]
    both = pd.concat([run.scores for run in runs])
    assert both.pivot(index="task", columns="candidate", values="value").shape == (2, 2)


def test_a_baseline_file_loads_like_the_run_that_it_was_saved_from(
    workspace: Path, tmp_path: Path
) -> None:
    run = steelyard.load("toy/base", workspace=workspace)
    file = run.save_baseline(tmp_path / "base.steelyard.json.gz")
    again = steelyard.load(file, workspace=tmp_path / "nothing")
    assert again.record == run.record
    assert set(again.rows["sample_id"]) == set(run.rows["sample_id"])


def test_a_run_that_is_not_there_is_a_steelyard_error(workspace: Path) -> None:
    with pytest.raises(steelyard.UnknownNameError):
        steelyard.load("toy/nobody", workspace=workspace)


def test_a_comparison_says_better_worse_or_cannot_tell(workspace: Path) -> None:
    comparison = steelyard.compare("toy/base", "toy/bad", workspace=workspace)
    assert comparison.comparable
    deltas = steelyard.table(comparison.deltas)
    (known,) = deltas[deltas["task"] == "known"].to_dict("records")
    assert known["delta"] == pytest.approx(-90 / SAMPLES)
    assert known["verdict"] == "worse"
    assert known["low"] < known["delta"] < known["high"] < 0


def test_runs_that_were_loaded_compare_like_their_names(workspace: Path) -> None:
    base, bad = (steelyard.load(f"toy/{name}", workspace=workspace) for name in ("base", "bad"))
    assert steelyard.compare(base, bad) == steelyard.compare(
        "toy/base", "toy/bad", workspace=workspace
    )


def test_no_records_are_an_empty_table() -> None:
    assert steelyard.table([]).empty


@pytest.mark.parametrize(("name", "code"), [("good", 0), ("bad", 1)])
def test_the_gate_gives_the_command_s_verdict(place: Path, name: str, code: int) -> None:
    verdict = steelyard.gate(
        place / "policy.yaml",
        f"toy/{name}",
        place / "base.steelyard.json.gz",
        workspace=place / ".steelyard",
    )
    assert verdict.exit_code == code, verdict.summary


def test_rules_may_be_a_mapping_and_runs_may_be_open(workspace: Path) -> None:
    base, good = (steelyard.load(f"toy/{name}", workspace=workspace) for name in ("base", "good"))
    verdict = steelyard.gate(RULES, good, base)
    assert verdict.verdict == "pass"
    assert list(steelyard.table(verdict.rules)["tier"]) == ["block", "warn"]


def test_a_policy_without_a_baseline_is_one_line(workspace: Path) -> None:
    with pytest.raises(steelyard.ConfigError, match="no baseline named"):
        steelyard.gate(RULES, "toy/good", workspace=workspace)


def test_a_wrong_rule_is_a_steelyard_error_that_names_the_key(workspace: Path) -> None:
    with pytest.raises(steelyard.SteelyardError, match=r"gate\.rules\.0"):
        steelyard.gate(
            {"rules": [{"task": "known", "margn": 1}]},
            "toy/good",
            "toy/base",
            workspace=workspace,
        )


def test_a_report_is_made_of_what_is_stored(
    workspace: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    result = steelyard.report(
        "toy", workspace=workspace, policy=RULES, formats=["html", "json"], output=tmp_path
    )
    assert set(result.candidates) == {"good", "bad"}
    assert result.baseline.name == "toy/base"
    assert {n: v.verdict for n, v in result.verdicts.items()} == {"good": "pass", "bad": "fail"}
    assert not result.passed
    assert {path.name for path in tmp_path.iterdir()} == {"report.html", "report.json"}
    assert "bad" in result.text("markdown")
    assert repr(result).endswith("exit code 1>")
    assert capfd.readouterr() == ("", "")


def test_a_report_of_an_unknown_experiment_says_which_there_are(workspace: Path) -> None:
    with pytest.raises(steelyard.UnknownNameError, match="did you mean 'toy'"):
        steelyard.report("toyy", workspace=workspace)
