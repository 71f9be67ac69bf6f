"""An estimate, and what a recipe came to, hold for the very data and base that they are of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from steelyard.harness.energy.fake_meter import FakeMeter
from steelyard.harness.experiment.file import Experiment, load_experiment
from steelyard.harness.files.digests import data_digest
from steelyard.harness.pipeline.estimate import (
    CandidatePlan,
    Planner,
    SavedEstimate,
    read_saved,
)
from steelyard.harness.records import Checkpoint, Energy
from steelyard.harness.store import open_store
from tests.harness.store import writer
from tests.trainers import tiny_jobs


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> tuple[Checkpoint, Checkpoint]:
    folder = tmp_path_factory.mktemp("bases")
    made = []
    for name, size in (("one", 32), ("two", 64)):
        (folder / name).mkdir()
        made.append(tiny_jobs.save_base(folder / name, intermediate_size=size))
    return made[0], made[1]


def written(folder: Path, base: Checkpoint) -> Experiment:
    file = folder / "t.yaml"
    file.write_text(
        f"name: t\nbase: {base.folder}\nsuite: [microworld_known]\n"
        "data: {d: {path: supervised.jsonl}}\ncandidates: {c: {trainer: lora, data: d}}\n"
    )
    return load_experiment(file)


def planned(
    folder: Path, base: Checkpoint, saved: Mapping[str, SavedEstimate] | None = None
) -> CandidatePlan:
    experiment, store = written(folder, base), open_store(folder / ".steelyard")
    (found,) = Planner(experiment, store, base, FakeMeter, lambda _: None, 0, saved or {}).plan()
    return found


def test_an_estimate_is_of_its_base_and_of_what_is_in_its_data(
    bases: tuple[Checkpoint, Checkpoint], tmp_path: Path
) -> None:
    tiny_jobs.supervised(tmp_path)
    first = planned(tmp_path, bases[0])
    cost = {"seconds": 9.0, "energy_kwh": None, "peak_memory_bytes": None}
    kept = {"parameters": 1, "parameters_trained": 1, "basis": "trial", "estimate": cost}
    (tmp_path / "saved.json").write_text(json.dumps({"c": {"recipe": first.recipe, **kept}}))
    saved = read_saved(tmp_path / "saved.json")
    assert planned(tmp_path, bases[0], saved).estimate.seconds == 9.0
    assert planned(tmp_path, bases[1], saved).estimate.seconds is None
    rows = (tmp_path / "supervised.jsonl").read_text()
    (tmp_path / "supervised.jsonl").write_text(rows * 2)
    assert planned(tmp_path, bases[0], saved).estimate.seconds is None


def test_what_a_recipe_came_to_is_told_of_its_base_and_its_data_alone(
    bases: tuple[Checkpoint, Checkpoint], tmp_path: Path
) -> None:
    data = tiny_jobs.supervised(tmp_path)
    candidate = written(tmp_path, bases[0]).candidates[0]
    spent = Energy(phase="train", seconds=7.0, energy_kwh=None, grade="unavailable")
    run = writer.make_run("c", experiment="t")
    manifest = run.checkpoint.model_copy(
        update={
            "trainer": "lora",
            "recipe": candidate.trainer.model_dump(mode="json"),
            "seed": candidate.seed,
            "base_digest": bases[0].manifest.digest,
            "data_digests": {"d": data_digest(data.path)},
            "energy": spent,
        }
    )
    store = open_store(tmp_path / ".steelyard")
    store.put(run.model_copy(update={"checkpoint": manifest}), [writer.make_rows()], ())
    done = planned(tmp_path, bases[0]).actual
    assert done is not None
    assert done.seconds == 7.0
    assert planned(tmp_path, bases[1]).actual is None
    data.path.write_text(data.path.read_text() * 2)
    assert planned(tmp_path, bases[0]).actual is None


@pytest.mark.parametrize("text", ["[]", "{", '{"c": {"recipe": 1}}', '{"c": null}', ""])
def test_estimates_that_are_damaged_are_made_anew(text: str, tmp_path: Path) -> None:
    (tmp_path / "saved.json").write_text(text)
    assert read_saved(tmp_path / "saved.json") == {}
