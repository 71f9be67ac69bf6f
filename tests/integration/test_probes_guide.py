"""The commands of docs/probes.md run as they stand, and what it names exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from steelyard.harness.cli.main import app
from steelyard.harness.plugins.names import plugin_names
from steelyard.harness.suites.suite import list_suites, list_tasks, load_suite

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "probes.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^steelyard (.+)$", GUIDE, re.MULTILINE)


@pytest.mark.parametrize(
    "command",
    [c if c.startswith("show") else pytest.param(c, marks=pytest.mark.slow) for c in COMMANDS],
)
def test_commands_of_the_guide_run(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, shlex.split(command))
    assert result.exit_code == 0, result.output


def test_the_suite_of_the_guide_is_valid(tmp_path: Path) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    suite = load_suite(yaml.safe_load(block)["suite"], folder=tmp_path)
    asked = {extra.metric for task in suite.tasks for extra in task.extras}
    assert asked == {"semantic_entropy_nli", "toxicity"} <= set(plugin_names("metrics"))


def test_every_probe_and_suite_of_the_guide_exists() -> None:
    tables = [line.split("|") for line in GUIDE.splitlines() if line.startswith("| ")]
    named = {name for cells in tables for name in re.findall(r"`([\w-]+)`", cells[1])}
    assert named <= set(list_suites())
    tasks = {
        name for cells in tables if len(cells) > 5 for name in re.findall(r"`(\w+)`", cells[2])
    }
    assert len(tasks) > 15 and tasks <= set(list_tasks())
    metrics = {n for c in tables if len(c) > 5 for n in re.findall(r"`(\w+)`", c[3])}
    assert metrics - {"contradicting", "rougeL_acc"} <= set(plugin_names("metrics"))
