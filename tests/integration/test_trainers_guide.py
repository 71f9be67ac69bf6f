"""The experiments in docs/trainers.md are read as they stand, and every trainer is told of."""

from __future__ import annotations

import re
from pathlib import Path

from steelyard.harness.experiment.file import load_experiment
from steelyard.harness.plugins.built_in import BUILT_IN
from steelyard.tasks.microworld.training import write

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "trainers.md").read_text(encoding="utf-8")


def test_every_experiment_of_the_guide_is_valid(tmp_path: Path) -> None:
    write(tmp_path / "data")
    blocks = re.findall(r"```yaml\n(name.*?)```", GUIDE, re.DOTALL)
    assert len(blocks) == 3
    orders = []
    for number, block in enumerate(blocks):
        file = tmp_path / f"{number}.yaml"
        file.write_text(block)
        orders.append([c.name for c in load_experiment(file).candidates])
    assert orders == [
        ["all", "last", "merged", "student", "honest"],
        ["q8", "q4", "gptq"],
        ["rl"],
    ]


def test_every_built_in_trainer_is_in_the_table() -> None:
    table = [line for line in GUIDE.splitlines() if line.startswith("| `")]
    told = {name for line in table for name in re.findall(r"`(\w+)`", line.split("|")[1])}
    assert told == set(BUILT_IN["trainers"])
