"""A run made here and lm-eval's own of the same task pair where both asked the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from steelyard.harness.compare import Scored, compare
from steelyard.harness.evaluation.evaluating import evaluate
from steelyard.harness.imports.lm_eval import read_lm_eval
from steelyard.harness.records import Comparison, Environment, Run
from steelyard.harness.store import open_store
from steelyard.harness.suites import build, load_suite
from tests.harness.toy_suite import Answering, checkpoint, write_suite

TASKS = ["toy_choice", "toy_translate", "toy_text"]


def answers(context: str, text: str) -> float:
    """Of every other question the right one, or nearly."""
    return -float(len(text)) - (len(context) % 2) * len(text.strip("0"))


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    write_suite(folder)
    by_lm_eval(folder, folder / "theirs")
    return folder


def by_lm_eval(folder: Path, output: Path) -> None:
    """lm-eval's own output on the tasks in ``folder``."""
    import lm_eval
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager

    tracker = EvaluationTracker(output_path=str(output))
    results: Any = lm_eval.simple_evaluate(
        Answering(answers),
        tasks=TASKS,
        task_manager=TaskManager(include_path=str(folder / "tasks"), include_defaults=False),
        log_samples=True,
        evaluation_tracker=tracker,
        bootstrap_iters=0,
    )
    samples = results.pop("samples")
    tracker.save_results_aggregated(results=results, samples=samples)
    for task in samples:
        tracker.save_results_samples(task_name=task, samples=samples[task])


def ours(folder: Path, limit: int | None = None) -> Scored:
    built = build(load_suite(str(folder / "toy.yaml"), folder=folder, limit=limit))
    evaluation = evaluate(Answering(answers), built, checkpoint=checkpoint(folder))
    run = Run(
        id="0" * 32,
        experiment="toy",
        candidate="ours",
        suite="toy",
        checkpoint=checkpoint(folder).manifest,
        scores=evaluation.scores,
        signatures=evaluation.signatures,
        environment=Environment(python="3", platform="x"),
        created_at="2026-01-01T00:00:00+00:00",
    )
    return as_scored(run, evaluation.rows, evaluation.samples)


def theirs(folder: Path) -> Scored:
    (imported,) = read_lm_eval([folder])
    return as_scored(imported.run, imported.rows, imported.samples)


def as_scored(run: Run, rows: Any, samples: Any) -> Scored:
    return Scored(
        run, {(r.task, r.metric): r for r in rows}, {(s.task, s.sample_id): s for s in samples}
    )


def compared(baseline: Scored, candidate: Scored) -> Comparison:
    (comparison,) = compare(baseline, [candidate], draws=1000)
    return comparison


def without_texts(scored: Scored) -> Scored:
    """As a baseline file keeps it."""
    return Scored(scored.run, scored.rows, None)


def test_they_pair_sample_by_sample_and_differ_by_nothing(here: Path) -> None:
    own, imported = ours(here), theirs(here / "theirs")
    sides = [
        (own, imported), (imported, own),
        (without_texts(own), imported), (without_texts(imported), own),
    ]  # fmt: skip
    for baseline, candidate in sides:
        comparison = compared(baseline, candidate)
        deltas = {(d.task, d.metric): d for d in comparison.deltas}
        for key in (("toy_choice", "acc"), ("toy_choice", "acc_norm"), ("toy_translate", "chrf")):
            assert (deltas[key].delta, deltas[key].n) == (0, 24), comparison.problems
        assert not any("definition" in p or "documents" in p for p in comparison.problems)


def test_slices_and_flips_of_an_imported_candidate_are_there(here: Path, tmp_path: Path) -> None:
    output = tmp_path / "theirs"
    shutil.copytree(here / "theirs", output)
    (file,) = output.rglob("samples_toy_choice_*.jsonl")
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    lost = [line for line in lines if line["acc"] == 1.0][:2]
    for line in lost:
        line["acc"] = 0.0
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (results,) = output.rglob("results_*.json")
    content = json.loads(results.read_text())
    content["results"]["toy_choice"]["acc,none"] = sum(line["acc"] for line in lines) / 24
    results.write_text(json.dumps(content))
    comparison = compared(ours(here), theirs(output))
    assert [f.direction for f in comparison.flips if f.metric == "acc"] == ["lost", "lost"]
    assert {f.prompt.split("\n")[-2] for f in comparison.flips} == {
        f"Q: {line['doc']['question']}" for line in lost
    }


def test_a_task_that_was_worded_otherwise_there_is_not_comparable_and_says_so(
    here: Path, tmp_path: Path
) -> None:
    shutil.copytree(here / "tasks", tmp_path / "tasks")
    file = tmp_path / "tasks" / "choice.yaml"
    file.write_text(file.read_text().replace("\\nA:", "\\nAnswer:"))
    by_lm_eval(tmp_path, tmp_path / "theirs")
    comparison = compared(ours(here), theirs(tmp_path / "theirs"))
    assert next(d for d in comparison.deltas if d.metric == "acc").delta is None
    assert any(
        p.startswith("toy_choice: the task's definition changed")
        and "lm-eval and this run differ in the task's configuration" in p
        for p in comparison.problems
    )
    assert any("24 of 24 baseline samples have no row" in p for p in comparison.problems)


def test_other_documents_under_a_limit_are_not_comparable(here: Path) -> None:
    comparison = compared(ours(here, limit=6), theirs(here / "theirs"))
    assert any(p.startswith("toy_choice: another limit") for p in comparison.problems)


def test_an_import_without_its_samples_says_what_to_do(here: Path, tmp_path: Path) -> None:
    shutil.copytree(here / "theirs", tmp_path / "theirs")
    for file in (tmp_path / "theirs").rglob("samples_*.jsonl"):
        file.unlink()
    comparison = compared(ours(here), theirs(tmp_path / "theirs"))
    assert any("import again, with lm-eval --log_samples" in p for p in comparison.problems)


def test_the_other_name_of_a_sample_is_kept_by_the_store(here: Path, tmp_path: Path) -> None:
    own = ours(here)
    store = open_store(tmp_path / "w")
    store.put(own.run, list(own.rows.values()), list((own.samples or {}).values()))
    held = {(s.task, s.sample_id): s.twin_id for s in store.samples(own.run.id)}
    assert held == {key: sample.twin_id for key, sample in (own.samples or {}).items()}
    assert all(held.values())
