"""The whole loop in small: what a run leaves behind, what it says, what it exits with."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from steelyard.harness.records import Rows
from tests.integration.conftest import TINY

CANDIDATES = {"base", "full", "lora", "orpo", "nf4"}


def test_a_run_scores_every_candidate_and_exits_zero(tiny) -> None:  # type: ignore[no-untyped-def]
    assert tiny.done.returncode in (0, 4), tiny.done.stderr
    assert set(tiny.runs) == CANDIDATES
    assert all(run.complete for run in tiny.runs.values())
    assert "Traceback" not in tiny.done.stderr


def test_every_report_format_is_written(tiny) -> None:  # type: ignore[no-untyped-def]
    folder = tiny.folder / ".steelyard" / "reports" / "tiny"
    names = {path.name for path in folder.iterdir()}
    assert names == {"report.html", "report.md", "report.json", "report.csv", "junit.xml"}
    page = (folder / "report.html").read_text()
    assert all(name in page for name in CANDIDATES)
    assert not re.search(r"""(?:src|href)=["']https?:""", page)


def test_every_sample_keeps_its_row_and_rows_give_the_score(tiny) -> None:  # type: ignore[no-untyped-def]
    import numpy as np

    store = tiny.store
    run = tiny.runs["lora"]
    known = {(r.task, r.metric): r for r in store.rows(run.id)}
    for score in run.scores:
        rows = known[score.task, score.metric]
        assert int(rows.scored.sum()) == score.n
        if score.kind == "accuracy":
            assert score.value == pytest.approx(float(np.mean(rows.values[rows.scored, 0])))


def test_a_run_says_by_which_way_its_model_was_scored_and_why(tiny) -> None:  # type: ignore[no-untyped-def]
    scoring = tiny.runs["lora"].scoring
    assert scoring["canary"]["rung"] == "tree"
    assert scoring["canary"]["tried"]["tree"].startswith("agrees")
    assert scoring["out_of_memory"] == 0
    assert scoring["tokens_per_batch"] > 0


def test_energy_says_how_it_is_known_and_counts_parents(tiny) -> None:  # type: ignore[no-untyped-def]
    orpo = {e.phase: e for e in tiny.runs["orpo"].energy}
    assert set(orpo) == {"train", "score", "inherited"}
    full = {e.phase: e for e in tiny.runs["full"].energy}
    assert orpo["inherited"].energy_kwh == pytest.approx(full["train"].energy_kwh)
    for energy in orpo.values():
        assert energy.grade in ("measured", "estimated", "unavailable")
        if energy.energy_kwh is not None:
            assert energy.co2e_g is not None
            assert energy.intensity is not None
            assert energy.intensity.region


def test_the_same_command_again_does_nothing_twice(tiny, steelyard) -> None:  # type: ignore[no-untyped-def]
    before = {name: run.id for name, run in tiny.runs.items()}
    again = steelyard("run", "tiny.yaml", cwd=tiny.folder)
    assert again.returncode == tiny.done.returncode
    lines = [line for line in again.stderr.splitlines() if " train " in line or " score " in line]
    assert len(lines) == 9
    assert all("already done" in line for line in lines)
    assert {name: run.id for name, run in tiny.runs.items()} == before


def test_machine_readable_output_is_json(tiny, in_process) -> None:  # type: ignore[no-untyped-def]
    done = in_process("compare", "tiny/base", "tiny/lora", "--format", "json", cwd=tiny.folder)
    assert done.returncode == 0, done.stderr
    json.loads(done.stdout)
    listed = in_process("list", "runs", "--format", "json", cwd=tiny.folder)
    assert {row["run"] for row in json.loads(listed.stdout)} == {f"tiny/{c}" for c in CANDIDATES}


def policy(folder: Path, margin: float) -> Path:
    path = folder / "policy.yaml"
    path.write_text(
        f"baseline: tiny/base\nrules:\n  - {{task: microworld_known, margin: {margin}}}\n"
    )
    return path


def test_the_base_against_itself_passes(tiny, in_process) -> None:  # type: ignore[no-untyped-def]
    in_process("baseline", "save", "tiny/base", "-o", "base.steelyard.json.gz", cwd=tiny.folder)
    rules = policy(tiny.folder, 0.4)
    done = in_process(
        "gate", "tiny/base", "-p", rules, "-b", "base.steelyard.json.gz", cwd=tiny.folder
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_removed_row_is_not_comparable(tiny, in_process) -> None:  # type: ignore[no-untyped-def]
    from steelyard.harness.compare import baseline_file

    in_process("baseline", "save", "tiny/base", "-o", "whole.steelyard.json.gz", cwd=tiny.folder)
    whole = baseline_file.load(tiny.folder / "whole.steelyard.json.gz")
    rows = {
        key: without_last(r) if r.task == "microworld_known" else r for key, r in whole.rows.items()
    }
    baseline_file.save(replace(whole, rows=rows), tiny.folder / "short.steelyard.json.gz")
    rules = policy(tiny.folder, 0.4)
    done = in_process(
        "gate",
        "short.steelyard.json.gz",
        "-p",
        rules,
        "-b",
        "whole.steelyard.json.gz",
        cwd=tiny.folder,
    )
    assert done.returncode == 3, done.stdout + done.stderr
    assert "microworld_known" in done.stdout


def without_last(rows: Rows) -> Rows:
    return replace(
        rows,
        sample_ids=rows.sample_ids[:-1],
        values=rows.values[:-1],
        scored=rows.scored[:-1],
        flags=rows.flags[:-1],
        clusters=rows.clusters[:-1],
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "tniy.yaml"), ["tniy.yaml", "did you mean 'tiny.yaml'"]),
        (("gate", "tiny/lroa", "-p", "tiny.yaml"), ["tiny/lroa", "tiny/lora"]),
        (("compare", "tiny/base", "tiny/lara"), ["tiny/lara", "tiny/lora"]),
        (("show", "loar"), ["loar", "lora"]),
        (("report", "tniy"), ["tniy", "tiny"]),
        (("eval", "microworld", "--suite", "mircoworld"), ["mircoworld", "microworld"]),
        (("eval", "no/such/folder"), ["no/such/folder"]),
        (("run", "tiny.yaml", "--base", "picklish"), ["picklish", "pickle"]),
        (("run", "tiny.yaml", "--base", "weightless"), ["weightless", "weights"]),
        (("run", "misnamed.yaml"), ["gate.baseline", "bsae", "did you mean 'base'"]),
        (("run", "nowhere.yaml"), ["nowhere.yaml:15: energy.country", "Frankreich"]),
    ],
)
def test_wrong_input_is_one_line_and_exit_two(tiny, in_process, arguments, said) -> None:  # type: ignore[no-untyped-def]
    picklish = tiny.folder / "picklish"
    picklish.mkdir(exist_ok=True)
    (picklish / "config.json").write_text("{}")
    (picklish / "pytorch_model.bin").write_bytes(b"\x80\x04")
    weightless = tiny.folder / "weightless"
    weightless.mkdir(exist_ok=True)
    (weightless / "config.json").write_text("{}")
    for name, right, wrong in (
        ("misnamed", "baseline: base", "baseline: bsae"),
        ("nowhere", "FRA", "Frankreich"),
    ):
        # Of another name: a run that ends so leaves its own experiment without a current run.
        text = TINY.replace(right, wrong).replace("12", "13").replace("name: tiny", f"name: {name}")
        (tiny.folder / f"{name}.yaml").write_text(text)
    done = in_process(*arguments, cwd=tiny.folder)
    assert done.returncode == 2
    assert "✓" not in done.stderr, "something was done before the mistake was told"
    lines = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    for part in said:
        assert part in lines[0]


def test_a_plan_names_its_baseline_as_the_gate_does(tiny, in_process) -> None:  # type: ignore[no-untyped-def]
    # A run that ended in an error, as one of a mistyped base does, leaves no current run.
    assert in_process("run", "tiny.yaml", "--no-gate", cwd=tiny.folder).returncode == 0
    rules = tiny.folder / "plan.yaml"
    rules.write_text("baseline: base\nrules:\n  - {task: microworld_known, margin: 0.4}\n")
    done = in_process("plan", rules, "--like", "tiny/lora", "-f", "json", cwd=tiny.folder)
    assert done.returncode == 0, done.stderr
    (rule,) = json.loads(done.stdout)
    assert rule["items_at_hand"] == 12
    assert rule["decidable"] is (rule["items_needed"] <= 12)
