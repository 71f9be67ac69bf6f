"""A checkpoint that was trained elsewhere: nobody here knows what that used, and nobody says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from steelyard.harness.energy import total, trained_elsewhere
from steelyard.harness.energy.fake_meter import FakeMeter
from steelyard.harness.experiment.file import load_experiment
from steelyard.harness.pipeline.train import Checkpoints
from steelyard.harness.plugins.names import load_plugin, plugin_names
from steelyard.harness.records import Energy, Run
from steelyard.harness.store import open_store
from steelyard.reports.build import build_report
from steelyard.reports.document import Chart, Number, Table
from tests.reports.fake_runs import fake_run
from tests.trainers import tiny_jobs

EXPERIMENT = """
name: t
base: ./base
suite: [microworld_known]
candidates:
  theirs: {trainer: none, path: theirs}
  pruned: {trainer: prune, parent: theirs, amount: 0.1}
"""


def test_taking_in_is_the_one_way_in() -> None:
    elsewhere = [n for n in plugin_names("trainers") if load_plugin("trainers", n).made_elsewhere]
    assert elsewhere == ["none"]


def test_its_training_and_all_that_inherits_from_it_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seed in (("base", 0), ("theirs", 1)):
        (tmp_path / name).mkdir()
        tiny_jobs.save_base(tmp_path / name, seed=seed)
    (tmp_path / "t.yaml").write_text(EXPERIMENT)
    monkeypatch.setattr("steelyard.harness.pipeline.train.server", lambda: None)
    monkeypatch.setattr(
        "steelyard.harness.pipeline.train.check_in_fresh_process", lambda *_, **__: {}
    )
    experiment = load_experiment(tmp_path / "t.yaml")
    stage = Checkpoints(experiment, open_store(tmp_path / "w"), FakeMeter, lambda _: None)
    theirs, pruned = (stage.checkpoint(name).manifest for name in ("theirs", "pruned"))
    assert theirs.energy is not None and pruned.energy is not None
    assert (theirs.energy.energy_kwh, theirs.energy.grade) == (None, "unavailable")
    assert (theirs.energy.seconds, theirs.energy.components) == (None, ())
    assert theirs.peak_memory_bytes is None
    assert theirs.energy.note is not None and "trained elsewhere" in theirs.energy.note
    assert pruned.energy.energy_kwh is not None  # its own work was measured
    inherited = total(stage.inherited("pruned"), phase="inherited")
    assert (inherited.energy_kwh, inherited.grade) == (None, "unavailable")


def taken_in(name: str) -> Run:
    run = fake_run(name)
    scored: tuple[Energy, ...] = tuple(e for e in run.energy if e.phase == "score")
    return run.model_copy(update={"energy": (trained_elsewhere(), *scored)})


def test_it_is_shown_as_unavailable_and_drawn_in_no_plot() -> None:
    base, theirs, lora = fake_run("base"), taken_in("full"), fake_run("lora")
    document = build_report("t", [base, theirs, lora], [], [], baseline="base")
    blocks = [block for section in document.sections for block in section.blocks]
    table = next(b for b in blocks if isinstance(b, Table) and b.id == "energy-table")
    row = next(row for row in table.rows if row.run == "full")
    numbers = {c.title: cell for c, cell in zip(table.columns, row.cells, strict=True)}
    for title in ("Training", "Together", "Time"):
        cell = numbers[title]
        assert isinstance(cell, Number) and cell.value is None, title
    chart = next(b for b in blocks if isinstance(b, Chart) and b.id == "quality-energy")
    drawn = {series.name for series in chart.series if series.points}
    assert "full" not in drawn and "lora" in drawn
