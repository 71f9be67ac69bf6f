"""Eight drivers that write at once lose and double nothing: the benchmark's small copy."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "store_postgres.py"


@pytest.mark.slow
def test_eight_drivers_lose_and_double_nothing(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its workers, processes of their own, find it by its name.
    monkeypatch.setenv("PYTHONPATH", f"{BENCHMARK.parents[1]}{os.pathsep}{BENCHMARK.parent}")
    monkeypatch.syspath_prepend(str(BENCHMARK.parent))
    benchmark = importlib.import_module("store_postgres")
    figures = benchmark.measure(tmp_path, database, 96, 8)
    assert (figures.lost, figures.doubled, figures.damage) == (0, 0, 0)
    assert figures.puts > figures.listed == 96
