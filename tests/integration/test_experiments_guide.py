"""The experiments in docs/experiments.md are read as they stand, and its commands run."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from steelyard.harness.experiment.file import ExperimentFile, load_experiment
from steelyard.tasks.microworld.training import write

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "experiments.md").read_text("utf-8")
BLOCKS = {
    re.findall(r"name: (\w+)", block)[0]: block
    for block in re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
}
ACCELERATE = "distributed_type: MULTI_GPU\nuse_cpu: true\nnum_processes: 2\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("guide")
    write(folder / "data")
    (folder / "two_processes.yaml").write_text(ACCELERATE)
    for name, block in BLOCKS.items():
        (folder / f"{name}.yaml").write_text(block)
    return folder


def test_every_experiment_of_the_guide_is_valid(folder: Path) -> None:
    found = {n: [c.name for c in load_experiment(folder / f"{n}.yaml").candidates] for n in BLOCKS}
    assert found["seeds"] == [
        f"{name}-seed{seed}" for name in ("lora", "int8") for seed in range(3)
    ]
    assert found["sweep"][:2] == ["lora-rank4-lr1e-3", "lora-rank4-lr2.5e-4"]
    assert found["sweep"][4:] == ["lora", "int8"]
    assert set(found) == {"seeds", "sweep", "early", "wide"}


def test_every_key_of_the_file_is_in_the_table() -> None:
    table = " ".join(line.split("|")[1] for line in GUIDE.splitlines() if line.startswith("| `"))
    assert set(re.findall(r"`(\w+)`", table)) == set(ExperimentFile.model_fields)


@pytest.mark.slow
def test_the_commands_of_the_guide_plan_run_and_hold_the_estimate_against_the_actual(
    folder: Path, steelyard
) -> None:  # type: ignore[no-untyped-def]
    (lines,) = re.findall(r"```bash\n(.*?)```", GUIDE, re.DOTALL)
    said = []
    for line in lines.strip().splitlines():
        done = steelyard(*shlex.split(line)[1:], cwd=folder)
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)
    assert "trial of 2 steps here" in said[0]
    assert "actual" not in said[0].split("Peak memory")[1]
    assert "actual" in said[2].split("Peak memory")[1]
    report = (folder / ".steelyard" / "reports" / "seeds" / "report.md").read_text()
    assert "Recipes over their seeds" in report
    assert "its recipe by the spread over 3 seeds" in report
    planned = steelyard("plan", "seeds.yaml", "--format", "json", cwd=folder)
    for one in json.loads(planned.stdout)["training"]:
        if one["trainer"] == "lora":
            assert one["steps"] == 3
            assert one["parameters_trained"] < one["parameters"]
            assert one["tokens"] > 100
            # Of the same order: trials are short and machines are shared.
            ratio = one["actual"]["seconds"] / one["estimate"]["seconds"]
            assert 0.05 < ratio < 20
