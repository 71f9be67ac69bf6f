"""The commands and files of docs/suites.md and docs/energy.md do what the pages say."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from steelyard.harness.cli.main import app
from steelyard.harness.energy import EnergyConfig
from steelyard.harness.evaluation.cost import COST
from steelyard.harness.experiment.file import ExperimentFile
from steelyard.harness.gate import load_gate
from steelyard.harness.store import open_store
from steelyard.harness.suites.suite import CostMeasure, load_suite

ROOT = Path(__file__).resolve().parents[2]
PAGES = {name: (ROOT / "docs" / name).read_text("utf-8") for name in ("suites.md", "energy.md")}
COMMANDS = [
    line.partition("#")[0].strip()
    for page in PAGES.values()
    for block in re.findall(r"```bash\n(.*?)```", page, re.DOTALL)
    for line in block.splitlines()
]


def blocks(page: str) -> list[dict[str, Any]]:
    found = re.findall(r"```yaml\n(.*?)```", PAGES[page], re.DOTALL)
    return [yaml.safe_load(block) for block in found]


def of_command(command: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for name in ("examples", "docs"):
        (folder / name).symlink_to(ROOT / name)
    monkeypatch.chdir(folder)
    done = CliRunner().invoke(app, shlex.split(command)[1:])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(c, marks=pytest.mark.slow) if re.match("steelyard (eval|tasks)", c) else c
        for c in COMMANDS
    ],
)
def test_every_command_of_the_pages_runs(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert of_command(command, tmp_path, monkeypatch).strip()


def test_every_block_of_the_pages_is_valid(tmp_path: Path) -> None:
    support, chinese, waived, noise = blocks("suites.md")
    assert chinese["metadata"]["steelyard"]["language"] == "zh"
    given = {**support, "tasks": support["tasks"][:1], "include": []}
    shown = load_suite(given, folder=tmp_path)
    shipped = load_suite("suite.yaml", folder=ROOT / "examples" / "support")
    assert [t.task for t in shipped.tasks] == [*(t.task for t in shown.tasks), "answers"]
    assert load_gate(waived["gate"]).waive_contamination
    assert len(ExperimentFile(name="n", base="b", suite="s", **noise).noise) == 5
    mine, gate, energy = blocks("energy.md")
    assert load_suite(mine, folder=tmp_path).cost == CostMeasure(**mine["cost"])
    assert len(load_gate(gate["gate"]).rules) == 4
    assert EnergyConfig(**energy["energy"]).checked().pue == 1.2


@pytest.mark.slow
def test_the_suite_of_the_page_gives_its_rows_and_its_costs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = next(c for c in COMMANDS if "examples/support" in c)
    of_command(command, tmp_path, monkeypatch)
    (run,) = open_store(tmp_path / "steelyard-suites").find()
    found = {(s.task, s.metric): s for s in run.scores}
    assert found["answers", "evaluate_overlap"].n == 3
    assert ("microworld_translate", "chrf") not in found
    assert found[COST, "latency_p50_seconds"].value > 0
