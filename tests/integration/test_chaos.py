"""One seed of benchmarks/chaos.py: whatever is attacked, the end is that of an undisturbed run."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

CHAOS = Path(__file__).resolve().parents[2] / "benchmarks" / "chaos.py"


@pytest.mark.slow
def test_a_sweep_under_attack_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    chaos = runpy.run_path(str(CHAOS))
    undisturbed = chaos["undisturbed_run"](tmp_path / "undisturbed")
    attack = chaos["attacked"](3, tmp_path / "attacked", undisturbed)
    assert not attack.wrong
    assert any(done.startswith("worker killed") for done in attack.done)
    assert "driver killed" in attack.done
