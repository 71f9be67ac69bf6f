"""The short ones of benchmarks/attack, each by its name: what is tried through the command fails.

They run in one process, whose forks share the libraries; a test reads how its attack ended.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.attack.attacks import ATTACKS
from benchmarks.attack.listed import import_all

ROOT = Path(__file__).resolve().parents[2]
import_all()
SHORT = [attack.name for attack in ATTACKS.values() if attack.in_suite]


@pytest.fixture(scope="module")
def outcomes() -> dict[str, dict[str, str]]:
    """Attack -> its verdict and why."""
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "attack", "--suite", "--json"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=ROOT,
    )
    assert done.stdout, done.stderr[-2000:]
    return {outcome["name"]: outcome for outcome in json.loads(done.stdout.splitlines()[-1])}


@pytest.mark.parametrize("name", SHORT)
def test_an_attack_does_no_harm(name: str, outcomes: dict[str, dict[str, str]]) -> None:
    assert outcomes[name]["verdict"] == "held", outcomes[name]["reason"]
