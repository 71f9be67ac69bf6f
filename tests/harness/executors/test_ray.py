"""Stages on a Ray started for the test: lost workers, hanging stages, and errors of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import AssayError
from tests.harness.executors.toy import ToyWorker, assert_contained, faults, stage

pytestmark = pytest.mark.slow


def test_failing_dying_and_hanging_stages_leave_the_rest_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    from harness.executors.ray import Ray

    root = Path(__file__).resolve().parents[3]
    monkeypatch.setenv("PYTHONPATH", str(root))
    outcomes = Ray(address="local", workers=2).run(faults(), ToyWorker(tmp_path))  # type: ignore[arg-type]
    assert_contained(tmp_path, outcomes)
    told = (tmp_path / "events").read_text()
    assert "train die: again its worker was lost" in told
    assert "train hang: again it took longer than 0.05 minutes; attempt 2 of 3" in told


def test_no_cluster_is_one_line_that_names_the_fix(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    from harness.executors.ray import Ray

    with pytest.raises(AssayError, match="ray start --head"):
        list(Ray().run([stage("good")], ToyWorker(tmp_path)))  # type: ignore[arg-type]
