"""Everything in docs/ci.md runs as it stands there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from os import environ
from pathlib import Path

import pytest
import yaml

from steelyard.harness.store import open_store
from tests.harness.gate.toy_gate import POLICY, toy_run
from tests.integration.conftest import run_here
from tests.integration.test_action import ACTION

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "ci.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", GUIDE, flags=re.DOTALL)


def blocks(language: str) -> list[str]:
    return [text for found, text in BLOCKS if found == language]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a policy and the runs that the guide speaks of."""
    folder = tmp_path_factory.mktemp("repository")
    (folder / "policy.yaml").write_text(POLICY)
    store = open_store(folder / ".steelyard")
    for name, lost in (("base", 0), ("lora", 10)):
        run = toy_run(name, lost, lost)
        record = run.run.model_copy(update={"experiment": "support-bot"})
        store.put(record, list(run.rows.values()), [])
    return folder


def run(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    first, *words = shlex.split(line)
    if first == "steelyard":
        return run_here(*words, cwd=folder)
    return subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, text=True, check=False,
        env={**environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def test_every_command_of_the_guide_runs(repository: Path) -> None:
    (repository / "test_gate.py").write_text(blocks("python")[0])
    lines = [line for text in blocks("bash") for line in text.splitlines()]
    assert [line.split()[:3] for line in lines] == [
        ["steelyard", "baseline", "save"],
        ["steelyard", "gate", "support-bot/lora"],
        ["python", "-m", "pytest"],
    ]
    for line in lines:
        done = run(line, repository)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    assert "2 passed" in done.stdout
    for name in ("gate.xml", "gate.md", "comment.md"):
        assert (repository / name).stat().st_size > 0


def test_the_job_of_another_ci_gates_as_it_stands(repository: Path) -> None:
    job = next(d["gate"] for t in blocks("yaml") if "gate" in (d := yaml.safe_load(t)))
    run(blocks("bash")[0].strip(), repository)
    gate = [line for line in job["script"] if line.startswith("steelyard gate ")]
    assert [run(line, repository).returncode for line in gate] == [0]
    assert (repository / job["artifacts"]["reports"]["junit"]).is_file()


def test_the_step_of_the_guide_takes_what_the_action_offers() -> None:
    (step,) = next(d for t in blocks("yaml") if isinstance(d := yaml.safe_load(t), list))
    assert set(step["with"]) <= set(ACTION["inputs"])
    assert step["with"]["candidates"].split("\n") == ["support-bot/lora", "support-bot/nf4", ""]
    for output in ACTION["outputs"]:
        assert f"`{output}`" in GUIDE
