"""A graph of 5,000 stages: how long it takes to plan, and what a stage costs beside its work.

    python benchmarks/dag.py

Planning is everything from the text of an experiment with 2,500 candidates to its stages. The
overhead is the time that ``local`` takes for stages that do nothing, two workers' start aside, per
stage. Results: benchmarks/results/dag.md.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from steelyard.harness.experiment import load_experiment
from steelyard.harness.pipeline import Event, Inline, Stage, StageOutcome, plan
from steelyard.harness.pipeline.events import Listener, no_listener
from steelyard.harness.pipeline.executors.local import Local

CANDIDATES = 2500


@dataclass(frozen=True)
class IdlePlace:
    """Opens workers that do nothing."""

    folder: Path

    def open(self, listener: Listener) -> IdleWorker:
        """One of them."""
        return IdleWorker(self.folder)


class IdleWorker:
    """Ends every stage at once."""

    listener: Listener = staticmethod(no_listener)
    logged = shared = False

    def __init__(self, folder: Path) -> None:
        self.place = IdlePlace(folder)

    def tell(self, event: Event) -> None:
        """Nobody watches."""

    def log_path(self, stage: Stage) -> Path:
        """One log, so that its opening counts."""
        return self.place.folder / "log"

    def carry_out(self, stage: Stage, threads: int | None = None) -> StageOutcome:
        """Nothing to do."""
        return StageOutcome(stage.name, "done", stage.name)


def experiment_text(candidates: int) -> str:
    """Families of five: a parent, three children, and a merge of two of them."""
    lines = ["name: wide", "base: microworld", "suite: [microworld_known]", "candidates:"]
    for family in range(candidates // 5):
        lines.append(f"  p{family}: {{trainer: prune, amount: 0.1}}")
        for child in "abc":
            lines.append(f"  {child}{family}: {{trainer: prune, amount: 0.2, parent: p{family}}}")
        lines.append(
            f"  m{family}: {{trainer: merge, method: linear, sources: [a{family}, b{family}]}}"
        )
    return "\n".join(lines) + "\n"


def planned(folder: Path, candidates: int = CANDIDATES) -> tuple[list[Stage], float]:
    """The stages, and the seconds from the file's text to them."""
    file = folder / "wide.yaml"
    file.write_text(experiment_text(candidates))
    began = time.perf_counter()
    stages = plan(load_experiment(file))
    return stages, time.perf_counter() - began


def overhead_ms(stages: list[Stage], executor: Inline | Local, folder: Path) -> float:
    """Milliseconds a stage from the first that ends to the last: the workers' start is apart."""
    worker = IdleWorker(folder)
    first = None
    count = 0
    for _ in executor.run(stages, worker):  # type: ignore[arg-type]
        first = first or time.perf_counter()
        count += 1
    assert count == len(stages) and first is not None
    return 1000 * (time.perf_counter() - first) / (count - 1)


def main() -> None:
    """Measure three times, and keep the best: what the machine does beside it is not ours."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs = [planned(folder) for _ in range(3)]
        stages, seconds = runs[0][0], min(seconds for _, seconds in runs)
        inline = min(overhead_ms(stages, Inline(), folder) for _ in range(3))
        local = min(overhead_ms(stages, Local(workers=2), folder) for _ in range(3))
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    lines = [
        "# A graph of stages",
        "",
        f"{len(stages):,} stages of {CANDIDATES:,} candidates; best of three; load average {load} "
        f"on {len(os.sched_getaffinity(0))} cores; Python {sys.version.split()[0]}.",
        "",
        "| what | measured | bar |",
        "|---|---|---|",
        f"| planning, from the file's text | {seconds:.2f} s | 5 s |",
        f"| overhead a stage, inline | {inline:.3f} ms | |",
        f"| overhead a stage, local, two workers | {local:.2f} ms | 10 ms |",
        "",
    ]
    text = "\n".join(lines)
    print(text)
    (Path(__file__).parent / "results" / "dag.md").write_text(text)


if __name__ == "__main__":
    main()
