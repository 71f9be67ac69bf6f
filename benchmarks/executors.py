"""Two one-thread workers against one on a sweep of ten recipes, on `local` and on Ray.

    python benchmarks/executors.py --repeat 3

The clock runs over the whole command: interpreter, imports in every worker, training, scoring,
comparison, report. Each executor is held against itself with one worker. Ray's own start is shown
apart: it is measured by itself, in a process that imports Ray, starts it as the executor does and
waits for an empty task on every worker. Results: benchmarks/results/executors.md.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

RATES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10)


@dataclass(frozen=True)
class Timing:
    """Seconds of one run."""

    total: float
    start: float
    """Of ``total``, what Ray takes to be there; 0 for the others."""
    load: float
    """Load average when it ended."""

    @property
    def rest(self) -> float:
        """What the two workers are held to."""
        return self.total - self.start


def experiment(steps: int) -> str:
    """Ten learning rates of one recipe."""
    lines = ["name: sweep", "base: microworld", "data: {facts: {path: data/facts_b.jsonl}}"]
    lines.append("candidates:")
    recipe = f"trainer: full, data: facts, steps: {steps}, batch_size: 16"
    lines += [f"  r{rate}: {{{recipe}, learning_rate: {rate}.0e-4}}" for rate in RATES]
    lines += ["suite: [microworld_known, microworld_new, microworld_unknown]", "limit: 60"]
    lines += ["energy: {meter: none}", "resources: {train: {cpus: 1}, score: {cpus: 1}}"]
    lines += ["report: [json]"]
    return "\n".join(lines) + "\n"


def timed(folder: Path, how: list[str]) -> Timing:
    """One run in a fresh workspace."""
    workspace = folder / "ws"
    shutil.rmtree(workspace, ignore_errors=True)
    command = [
        sys.executable,
        "-m",
        "steelyard.harness.cli.main",
        "run",
        "sweep.yaml",
        "-w",
        "ws",
        *how,
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    began = time.perf_counter()
    done = subprocess.run(
        [*command, "--format", "json"],
        cwd=folder,
        env=environment,
        capture_output=True,
        check=False,
    )
    total = time.perf_counter() - began
    if done.returncode != 0:
        sys.exit(done.stderr.decode())
    start = ray_start(int(how[-1])) if "ray" in how else 0.0
    return Timing(total, start, os.getloadavg()[0])


RAY_START = """
import time
began = time.perf_counter()
import ray
cores = max({cores}, {workers})
ray.init(address="local", num_cpus=cores, include_dashboard=False, logging_level="error")
ray.get([ray.remote(lambda: time.sleep(0.1)).remote() for _ in range({workers})])
print(time.perf_counter() - began)
"""


def ray_start(workers: int) -> float:
    """Seconds from the import of Ray to the end of an empty task on every worker."""
    script = RAY_START.format(cores=len(os.sched_getaffinity(0)), workers=workers)
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"},
        capture_output=True,
        check=True,
        text=True,
    )
    return float(done.stdout.split()[-1])


HOW = {
    "local, 1 worker": ["--executor", "local", "--workers", "1"],
    "local, 2 workers": ["--executor", "local", "--workers", "2"],
    "ray, 1 worker": ["--executor", "ray", "--address", "local", "--workers", "1"],
    "ray, 2 workers": ["--executor", "ray", "--address", "local", "--workers", "2"],
}


def main() -> None:
    """Take turns, so that a busy moment of the machine falls on all; keep the best of each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--only", choices=("local", "ray"))
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="executors-"))
    import_module("steelyard.tasks.microworld.training").write(folder / "data")
    (folder / "sweep.yaml").write_text(experiment(arguments.steps))
    runs: dict[str, list[Timing]] = {}
    for _ in range(arguments.repeat):
        for name, how in HOW.items():
            if name.startswith(arguments.only or ""):
                runs.setdefault(name, []).append(timed(folder, how))
                print(name, runs[name][-1], flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    best = {name: min(found, key=lambda t: t.total) for name, found in runs.items()}
    text = page(best, arguments.repeat, arguments.steps)
    print(text)
    (Path(__file__).parent / "results" / "executors.md").write_text(text)


def page(best: dict[str, Timing], repeat: int, steps: int) -> str:
    """The table, with Ray's own start apart."""
    lines = [
        "# One worker and two",
        "",
        f"Ten recipes of {steps} steps, eleven checkpoints scored; one thread a worker; best of "
        f"{repeat}; {len(os.sched_getaffinity(0))} cores.",
        "",
        "| executor | whole command | Ray's start | without it "
        "| against its one worker | load average |",
        "|---|---|---|---|---|---|",
    ]
    for name, timing in best.items():
        one = best[name.partition(",")[0] + ", 1 worker"]
        lines.append(
            f"| {name} | {timing.total:.1f} s | {timing.start:.1f} s | {timing.rest:.1f} s "
            f"| {one.rest / timing.rest:.2f}x | {timing.load:.1f} |"
        )
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
