"""Energy from meter to page: joules arrive unchanged, parents once, unknown stays unknown."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from steelyard.harness.cli.experiments import run_experiment
from steelyard.harness.experiment.file import load_experiment
from steelyard.harness.records import Run
from steelyard.harness.store import open_store

#: ``both`` is merged from two children of one parent, so that the parent is an ancestor twice over.
EXPERIMENT = """
name: metered
base: microworld
data:
  facts: {{path: facts.jsonl, prompt: prompt, completion: completion}}
candidates:
  parent: {{trainer: full, data: facts, steps: 1, batch_size: 2}}
  left: {{trainer: prune, parent: parent, amount: 0.1}}
  right: {{trainer: prune, parent: parent, amount: 0.2}}
  both: {{trainer: merge, parent: parent, sources: [left, right]}}
suite:
  tasks: [{{task: microworld_known, limit: 2}}]
  cost: {{task: microworld_text, prompt_tokens: 8, new_tokens: 2, queries: 1, passes: 2, warmup: 1}}
energy: {energy}
report: [html, json]
"""
KWH = (3600 + 360) / 3.6e6  # the fake meter's joules in every window
GRAMS = KWH * 100 * 1.5


def finished(folder: Path, energy: str, only: tuple[str, ...] = ()) -> Path:
    (folder / "facts.jsonl").write_text(
        "".join(json.dumps({"prompt": f"a{n} is", "completion": f" b{n}"}) + "\n" for n in range(4))
    )
    file = folder / "experiment.yaml"
    file.write_text(EXPERIMENT.format(energy=energy))
    run_experiment(
        load_experiment(file),
        workspace=folder / "ws",
        only=only,
        commands=[],
        output=folder / "report",
    )
    return folder


def runs_of(folder: Path) -> dict[str, Run]:
    return {run.candidate: run for run in open_store(folder / "ws").find()}


@pytest.fixture(scope="module")
def metered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished(
        tmp_path_factory.mktemp("metered"),
        "{meter: fake, intensity_g_per_kwh: 100, intensity_source: a contract, pue: 1.5}",
    )


@pytest.fixture(scope="module")
def unmetered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unmetered")
    return finished(folder, "{meter: none, country: FRA}", only=("parent",))


def numbers(value: Any) -> Iterator[dict[str, Any]]:
    """Every number of a document."""
    if isinstance(value, dict):
        if value.get("type") == "number":
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from numbers(part)


def table(folder: Path, id: str) -> dict[str, dict[str, Any]]:
    """Row heading -> column title -> cell, of one table of the report."""
    document = json.loads((folder / "report" / "report.json").read_text())
    blocks = [block for section in document["sections"] for block in section["blocks"]]
    found = next(block for block in blocks if block.get("id") == id)
    titles = [column["title"] for column in found["columns"]]
    return {
        row["cells"][0]["text"]: dict(zip(titles, row["cells"], strict=True))
        for row in found["rows"]
    }


def test_a_fake_meters_joules_stand_in_the_record(metered: Path) -> None:
    for name, run in runs_of(metered).items():
        energy = {e.phase: e for e in run.energy}
        if name != "base":
            assert energy["train"].energy_kwh == pytest.approx(KWH, rel=1e-12)
        # Scoring is one window, and each of the two passes that are timed another.
        assert energy["score"].energy_kwh == pytest.approx(3 * KWH, rel=1e-12)
        for phase in energy.values():
            parts = {part.name: part.energy_kwh for part in phase.components}
            assert sum(parts.values()) == pytest.approx(phase.energy_kwh, rel=1e-12)
            assert parts["cpu"] == pytest.approx(10 * parts["ram"], rel=1e-12)
            assert phase.co2e_g == pytest.approx(phase.energy_kwh * 150, rel=1e-12)
            assert (phase.intensity.source, phase.pue) == ("a contract", 1.5)


def test_a_parent_is_charged_once_however_many_ways_lead_to_it(metered: Path) -> None:
    inherited = {
        name: next((e.energy_kwh for e in run.energy if e.phase == "inherited"), None)
        for name, run in runs_of(metered).items()
    }
    assert inherited["base"] is None and inherited["parent"] is None
    assert inherited["left"] == inherited["right"] == pytest.approx(KWH)
    assert inherited["both"] == pytest.approx(3 * KWH)  # left, right and their one parent


def test_the_report_shows_the_same_joules_and_sums_them_once(metered: Path) -> None:
    rows = table(metered, "energy-table")
    assert rows["both"]["Inherited"]["value"] == pytest.approx(3 * KWH)
    assert rows["both"]["Together"]["value"] == pytest.approx((1 + 3 + 3) * KWH)
    assert rows["both"]["CO₂e"]["value"] == pytest.approx((1 + 3 + 3) * GRAMS)
    whole = rows["The whole experiment"]
    assert whole["Training"]["value"] == pytest.approx(4 * KWH)
    assert whole["Together"]["value"] == pytest.approx((4 + 5 * 3) * KWH)
    served = table(metered, "serving-table")["kwh per 1k queries"]
    assert all(served[name]["value"] == pytest.approx(1000 * KWH) for name in runs_of(metered))
    even = table(metered, "break-even")["both"]
    assert even["Training"]["value"] == pytest.approx(4 * KWH)
    assert even["A query"]["value"] == pytest.approx(0, abs=1e-15)


def test_the_leaderboard_shows_the_same_joules(metered: Path) -> None:
    site = metered / "site"
    leaderboard(metered, site)
    with (site / "leaderboard.csv").open() as file:
        rows = list(csv.DictReader(file))
    trained = {row["candidate"]: row["training_energy_kwh"] for row in rows}
    assert float(trained["parent"]) == pytest.approx(KWH)
    assert float(trained["both"]) == pytest.approx(4 * KWH)
    assert trained["base"] == ""


def leaderboard(folder: Path, site: Path) -> None:
    from typer.testing import CliRunner

    from steelyard.harness.cli.main import app

    asked = ["leaderboard", "-o", str(site), "--workspace", str(folder / "ws")]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output


def test_without_a_meter_everything_says_unavailable_and_nothing_is_zero(unmetered: Path) -> None:
    for run in runs_of(unmetered).values():
        for energy in run.energy:
            assert (energy.energy_kwh, energy.co2e_g) == (None, None)
            assert energy.grade == "unavailable"
    rows = table(unmetered, "energy-table")
    for row in rows.values():
        for column in ("Training", "Scoring", "Together", "CO₂e"):
            cell = row[column]
            assert cell["value"] is None
            assert cell["grade"] == "unavailable" or "not trained here" in cell["note"]
    for metric in ("kwh per 1k tokens", "co2e g per 1k queries"):
        for name, cell in table(unmetered, "serving-table")[metric].items():
            if name != "Measure":
                assert cell["value"] is None and "unavailable" in cell["note"]
    page = (unmetered / "report" / "report.html").read_text()
    assert (
        "unavailable" in page and "0 Wh" not in page and "Break-even queries: unavailable" in page
    )
    site = unmetered / "site"
    leaderboard(unmetered, site)
    with (site / "leaderboard.csv").open() as file:
        rows = {row["candidate"]: row for row in csv.DictReader(file)}
    assert rows["parent"]["training_energy_kwh"] == ""
    assert rows["parent"]["energy_grade"] == "unavailable"
