"""Stages without models: what they do is in the candidate's name."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from steelyard.harness.experiment.resources import Resources
from steelyard.harness.pipeline.events import Event, Listener, no_listener
from steelyard.harness.pipeline.stage import Stage, StageOutcome


@dataclass(frozen=True)
class ToyPlace:
    """A folder in which each attempt of a stage leaves a line."""

    folder: Path

    def open(self, listener: Listener) -> ToyWorker:
        if (self.folder / "closed").exists():
            raise RuntimeError("there is no suite")
        return ToyWorker(self.folder, listener)


class ToyWorker:
    """``fail`` fails, ``die`` is killed once, ``always-die`` every time, ``hang`` hangs once;
    ``preempted`` loses once the process that started it.
    """

    def __init__(self, folder: Path, listener: Listener = no_listener) -> None:
        self.folder = folder
        self.listener = listener
        self.logged = self.shared = False

    @property
    def place(self) -> ToyPlace:
        return ToyPlace(self.folder)

    def tell(self, event: Event) -> None:
        with (self.folder / "events").open("a") as file:
            file.write(f"{event.stage} {event.candidate}: {event.status} {event.message}\n")
        self.listener(event)

    def log_path(self, stage: Stage) -> Path:
        return self.folder / "logs" / f"{stage.log}.log"

    def carry_out(self, stage: Stage, threads: int | None = None) -> StageOutcome:
        what = stage.candidate.partition(".")[0]
        tries = self.folder / stage.candidate
        first = not tries.exists()
        with tries.open("a") as file:
            file.write(f"{os.getpid()} {threads} {os.environ.get('CUDA_VISIBLE_DEVICES')}\n")
        if what == "sleep":
            time.sleep(0.3)
        if what == "say":
            os.write(1, b"from C\n")
        if what == "surroundings":
            print("peft" in sys.modules, os.environ.get("TOLD_TO_WORKERS"), flush=True)
        if what == "always-die" or (what == "die" and first):
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "preempted" and first and (driver := multiprocessing.parent_process()):
            assert driver.pid is not None, "it runs"
            os.kill(driver.pid, signal.SIGKILL)
        if what in ("hang", "preempted") and first:
            time.sleep(600)
        if what == "own-process":
            own = multiprocessing.get_context("fork").Process(target=os._exit, args=(7,))
            own.start()
            own.join()
            return StageOutcome(stage.name, "done", str(own.exitcode))
        if what == "fail":
            return StageOutcome(stage.name, "failed", message="by itself")
        return StageOutcome(stage.name, "done", stage.candidate)


def faults() -> list[Stage]:
    """Stages that fail by themselves, lose their worker once or always, hang, and go well."""
    return [
        stage("fail"),
        stage("child", "fail"),
        stage("die"),
        stage("always-die"),
        stage("hang", timeout_minutes=0.05),
        stage("good", "die", "hang"),
    ]


def assert_contained(folder: Path, outcomes: Iterable[StageOutcome]) -> dict[str, StageOutcome]:
    """What fails by itself is not tried again; what loses its worker is, three times in all."""
    ended = {one.stage.partition(" ")[2]: one for one in outcomes}
    statuses = {name: one.status for name, one in ended.items()}
    assert statuses == {
        "fail": "failed",
        "child": "skipped",
        "die": "done",
        "always-die": "failed",
        "hang": "done",
        "good": "done",
    }
    names = ("fail", "die", "always-die", "hang")
    tried = {name: len((folder / name).read_text().splitlines()) for name in names}
    assert tried == {"fail": 1, "die": 2, "always-die": 3, "hang": 2}
    return ended


def stage(candidate: str, *after: str, **needs: object) -> Stage:
    """A training stage of this candidate, after those of others."""
    names = tuple(f"train {name}" for name in after)
    return Stage(f"train {candidate}", "train", candidate, names, Resources(**needs))  # type: ignore[arg-type]
