"""lm-eval's own output on the microworld's tasks, and the command in this process."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
TASKS = ("microworld_choice", "microworld_text", "microworld_translate")


@dataclass(frozen=True)
class Done:
    """What one call of the command gave."""

    code: int
    out: str
    err: str


Steelyard = Callable[..., Done]


@pytest.fixture
def steelyard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Steelyard:
    """``steelyard(*arguments)`` in an empty folder of its own."""
    from steelyard.harness.cli.main import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: str | Path) -> Done:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["steelyard", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        return Done(code, *capsys.readouterr())

    return call


@pytest.fixture(scope="session")
def lm_eval_output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that lm-eval itself wrote: its dummy model on three of our tasks."""
    import lm_eval
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager

    folder = tmp_path_factory.mktemp("lm_eval")
    tracker = EvaluationTracker(output_path=str(folder))
    results: Any = lm_eval.simple_evaluate(
        model="dummy",
        model_args="pretrained=org/base",
        tasks=list(TASKS),
        task_manager=TaskManager(
            include_path=str(ROOT / "tasks" / "microworld"), include_defaults=False
        ),
        log_samples=True,
        evaluation_tracker=tracker,
        bootstrap_iters=0,
    )
    samples = results.pop("samples")
    tracker.save_results_aggregated(results=results, samples=samples)
    for task in TASKS:
        tracker.save_results_samples(task_name=task, samples=samples[task])
    return folder / "org__base"


def results_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(next(folder.glob("results_*.json")).read_text())
    return found


def lines_of(folder: Path, task: str) -> list[dict[str, Any]]:
    file = next(folder.glob(f"samples_{task}_*.jsonl"))
    return [json.loads(line) for line in file.read_text().splitlines()]


def write_lines(folder: Path, task: str, lines: list[dict[str, Any]]) -> None:
    file = next(folder.glob(f"samples_{task}_*.jsonl"))
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))


def copy_of(source: Path, target: Path, results: Mapping[str, Any] | None = None) -> Path:
    """lm-eval's folder again, as another model's; ``results`` replaces keys of its results."""
    shutil.copytree(source, target)
    changed = {**results_of(target), "model_name": "org/other", **(results or {})}
    next(target.glob("results_*.json")).write_text(json.dumps(changed))
    return target


def with_lost_answers(source: Path, target: Path, lost: int) -> Path:
    """A copy in which that many right answers of microworld_choice turned wrong."""
    copy_of(source, target)
    lines = lines_of(target, "microworld_choice")
    for line in [line for line in lines if line["acc"] == 1.0][:lost]:
        line["acc"] = 0.0
    write_lines(target, "microworld_choice", lines)
    results = results_of(target)["results"]
    results["microworld_choice"]["acc,none"] = sum(line["acc"] for line in lines) / len(lines)
    next(target.glob("results_*.json")).write_text(
        json.dumps({**results_of(target), "results": results})
    )
    return target
