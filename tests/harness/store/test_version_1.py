"""What the last commit under the old name left on a disk is read, shown, compared and gated."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from steelyard.harness.cli.main import main
from steelyard.harness.compare import Scored, baseline_file, compare
from steelyard.harness.errors import StoreError
from steelyard.harness.files import old_names
from steelyard.harness.gate import judge, load_gate
from steelyard.harness.records import SCHEMA_VERSION
from steelyard.harness.store import Store, open_store
from steelyard.reports.site.settings import names_of, settings_of

DATA = Path(__file__).parent / "data" / "version_1"
ROOT = Path(__file__).resolve().parents[3]
#: What commit 6b9d9ac itself said of lora-seed1 against base.
BITS = (0.00033596015689368587, 6.636347854951307e-05, 0.0012001267025214077)
WORDS = (0.001007038171739083, 0.00021014051436485381, 0.0032858645386613095)
ECE = (-0.0009125693055585526, -0.004000767971283681, 0.0030799924143541935)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a workspace of the old name, which is where the test runs."""
    shutil.copytree(DATA / "workspace", tmp_path / ".assay")
    shutil.copy(DATA / "base.assay.json.gz", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(old_names, "_announced", set())
    return tmp_path


@pytest.fixture
def store(workspace: Path) -> Store:
    return open_store(Path(".steelyard"))


def run_command(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["steelyard", *words])
    with pytest.raises(SystemExit) as left:
        main()
    return int(left.value.code or 0)


def test_a_workspace_of_the_old_name_is_used_and_said_so_in_one_line(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(monkeypatch, "list", "runs") == 0
    shown = capsys.readouterr()
    assert "before/base" in shown.out and "before/lora-seed1" in shown.out
    assert shown.err.splitlines() == [
        "using the workspace .assay, made before assay became steelyard; to keep on without this "
        "line: mv .assay .steelyard"
    ]
    assert run_command(monkeypatch, "store", "check") == 0
    assert not (workspace / ".steelyard").exists()


def test_a_workspace_of_the_present_name_comes_first(workspace: Path) -> None:
    (workspace / ".steelyard").mkdir()
    assert list(open_store(Path(".steelyard")).find()) == []
    assert len(list(open_store(Path(".assay")).find())) == 2


def test_what_was_said_in_words_stands_in_fields(store: Store) -> None:
    run = store.get("before/lora-seed1")
    assert run.schema_version == run.checkpoint.schema_version == SCHEMA_VERSION == 2
    assert run.checkpoint.copy_of == "lora"
    scores = {(s.task, s.metric): s for s in run.scores}
    assert scores["microworld_text", "bits_per_byte"].scale == "bits"
    assert scores["microworld_text", "word_perplexity"].scale == "nats"
    assert scores["microworld_known", "correct"].scale is None
    assert scores["microworld_choice", "ece"].method == "ece"
    assert scores["fidelity", "kl_per_token"].per_token
    assert not scores["microworld_text", "byte_perplexity"].per_token
    fidelity, known = run.signature("fidelity"), run.signature("microworld_known")
    assert fidelity is not None and known is not None
    assert fidelity.reference == store.get("before/base").checkpoint.digest
    assert (fidelity.decoding, known.backend) == (None, "steelyard")


def test_two_old_runs_compare_to_the_changes_that_the_old_code_printed(store: Store) -> None:
    base, lora = (Scored.from_store(store, f"before/{name}") for name in ("base", "lora-seed1"))
    (comparison,) = compare(base, [lora])
    assert comparison.comparable
    deltas = {d.metric: (d.delta, d.low, d.high) for d in comparison.deltas}
    for metric, printed in (("bits_per_byte", BITS), ("word_perplexity", WORDS)):
        delta, low, high = deltas[metric]
        assert delta == pytest.approx(printed[0], rel=1e-12)
        # A bootstrap of so few documents was too sure of itself: its interval lies in today's.
        assert low < printed[1] < printed[2] < high
    assert deltas["ece"] == ECE


def test_an_old_baseline_file_gates_an_old_run_and_the_same_run_written_anew(
    store: Store, tmp_path: Path
) -> None:
    rule = {"task": "microworld_text", "metric": "bits_per_byte", "margin": 0.2}
    gate = load_gate({"scope": "rules", "rules": [rule]})
    baseline = baseline_file.load(Path("base.assay.json.gz"))
    baseline_file.save(Scored.from_store(store, "before/base"), Path("new.steelyard.json.gz"))
    anew = baseline_file.load(Path("new.steelyard.json.gz"))
    lora = Scored.from_store(store, "before/lora-seed1")
    verdicts = [judge(gate, before, [lora])[0] for before in (baseline, anew)]
    assert verdicts[0] == verdicts[1] and verdicts[0].exit_code == 0
    assert compare(baseline, [anew])[0].comparable


def test_divergences_from_two_models_are_not_ranked_together(store: Store) -> None:
    run = store.get("before/lora-seed1")
    signature = run.signature("fidelity")
    assert signature is not None
    other = signature.model_copy(update={"reference": "e" * 64})
    groups = [settings_of(run, s) for s in (signature, other)]
    assert len(set(groups)) == 2
    assert "reference model eeeeeeee" in names_of(groups).values()


def test_a_changed_meaning_makes_old_and_new_not_comparable_by_name(store: Store) -> None:
    old = Scored.from_store(store, "before/base")
    scores = tuple(
        s.model_copy(update={"method": "aurc"}) if s.metric == "ece" else s for s in old.run.scores
    )
    new = Scored(old.run.model_copy(update={"scores": scores}), old.rows)
    (problem,) = compare(old, [new])[0].problems
    assert problem == "microworld_choice: ece: the metric's method changed (ece to aurc)"


def test_same_scores_holds_an_old_workspace_against_a_new_one_bit_for_bit(
    store: Store, tmp_path: Path
) -> None:
    new = open_store(tmp_path / "new")
    for run in store.find():
        rows = list(store.rows(run.id))
        if run.candidate != "base":
            rows[0].values[0, 0] += 1e-15
        new.put(run, rows, store.samples(run.id))
    script = ROOT / "benchmarks" / "same_scores.py"
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    done = subprocess.run(
        [sys.executable, str(script), ".assay", "new"], capture_output=True, text=True,
        env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    table, differences = done.stdout.splitlines()[1:3], done.stdout.splitlines()[3:]
    assert [line.split()[0] for line in table] == ["before/base", "before/lora-seed1"]
    assert table[0].endswith("none")
    assert differences == ["before/lora-seed1: microworld_known correct: 1 of 5 rows differ"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"scores": None}, "scores"),
        ({"scores": [3]}, "scores.0"),
        ({"scores": [{"metric": 5, "flags": 3}]}, "scores.0"),
        ({"signatures": [{"decoding": 7, "backend": []}]}, "signatures.0"),
        ({"checkpoint": {"schema_version": 1, "seed": 0, "candidate": 4}}, "checkpoint"),
        ({"energy": [{"note": 1}]}, "energy.0"),
        ({"recipe": []}, "recipe"),
    ],
)
def test_a_damaged_run_of_version_1_is_one_line_that_names_the_field(
    store: Store, workspace: Path, changes: dict[str, object], field: str
) -> None:
    file = next(workspace.glob(".assay/runs/8c7*/run.json"))
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    with pytest.raises(StoreError, match=rf"run\.json: {field}") as caught:
        store.get(file.parent.name)
    assert "\n" not in str(caught.value)


def test_a_copy_that_a_recipe_names_is_found_however_deep_it_stands(
    store: Store, workspace: Path
) -> None:
    file = next(workspace.glob(".assay/runs/9420*/run.json"))
    run = json.loads(file.read_text())
    nested: list[object] = ["a-seed1"]
    for _ in range(50):
        nested = [nested]
    run["checkpoint"]["recipe"] = {"sources": nested}
    file.write_text(json.dumps(run))
    assert store.get(file.parent.name).checkpoint.copies == {"a-seed1": "a"}
