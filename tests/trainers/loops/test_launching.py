"""``accelerate:`` runs a trainer under accelerate's own launcher; a wrong config is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from steelyard.harness.errors import ConfigError, TrainingError
from steelyard.harness.experiment.file import load_experiment
from steelyard.harness.records import Checkpoint
from steelyard.trainers.loops.launching import Launched, from_json, launched, to_json
from tests.trainers import tiny_jobs

CONFIG = """
compute_environment: LOCAL_MACHINE
distributed_type: MULTI_GPU
use_cpu: true
num_machines: 1
machine_rank: 0
num_processes: 2
mixed_precision: 'no'
main_process_port: 0
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return tiny_jobs.save_base(tmp_path_factory.mktemp("base"))


def experiment(folder: Path, candidates: str, config: str = CONFIG) -> Path:
    (folder / "two.yaml").write_text(config)
    (folder / "d.jsonl").write_text('{"prompt": "a", "completion": " b"}\n')
    file = folder / "e.yaml"
    file.write_text(
        "name: e\nbase: microworld\nsuite: [microworld_known]\ndata: {d: {path: d.jsonl}}\n"
        f"accelerate: two.yaml\ncandidates:\n{candidates}"
    )
    return file


def test_what_trains_is_launched_and_what_does_not_is_left_alone(tmp_path: Path) -> None:
    file = experiment(
        tmp_path,
        "  a: {trainer: lora, data: d, rank: 4}\n"
        "  b: {trainer: quantize, parent: a, scheme: int8}\n",
    )
    a, b = load_experiment(file).candidates
    assert isinstance(a.trainer, Launched)
    assert (a.trainer_name, a.trainer.inner.rank) == ("lora", 4)  # type: ignore[attr-defined]
    assert not isinstance(b.trainer, Launched)
    digest = a.trainer.content_digest()
    experiment(tmp_path, "  a: {trainer: lora, data: d, rank: 4}\n", CONFIG.replace("2", "4"))
    assert load_experiment(file).candidates[0].trainer.content_digest() != digest  # type: ignore[attr-defined]


def test_the_deepspeed_file_that_a_config_names_is_part_of_the_recipe(tmp_path: Path) -> None:
    named = CONFIG + "deepspeed_config: {deepspeed_config_file: ds.json}\n"
    file = experiment(tmp_path, "  a: {trainer: lora, data: d}\n", named)
    trainer: Any = load_experiment(file).candidates[0].trainer
    digests = []
    for stage in (2, 3):
        (tmp_path / "ds.json").write_text(f'{{"zero_optimization": {{"stage": {stage}}}}}')
        digests.append(trainer.content_digest())
    assert digests[0] != digests[1]


@pytest.mark.parametrize(
    ("candidates", "config", "said"),
    [
        (
            "  a: {trainer: lora, data: d, accelerate: no.yaml}\n",
            CONFIG,
            "no such file.*accelerate config",
        ),
        ("  a: {trainer: lora, data: d}\n", "x: 1\n", "not an accelerate config"),
        (
            "  a: {trainer: quantize, scheme: int8, accelerate: two.yaml}\n",
            CONFIG,
            "a.accelerate.*'quantize' has no training loop",
        ),
    ],
)
def test_a_wrong_config_is_one_line(
    tmp_path: Path, candidates: str, config: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        load_experiment(experiment(tmp_path, candidates, config))


def test_a_job_goes_over_as_json(base: Checkpoint, tmp_path: Path) -> None:
    import json

    from steelyard.harness.plugins.protocols import TrainJob

    job = TrainJob(
        candidate="c", start=base, data=(tiny_jobs.supervised(tmp_path),), seed=3,
        folder=tmp_path, sources={"t": base}, state_folder=tmp_path / "s",
    )  # fmt: skip
    assert from_json(json.loads(json.dumps(to_json(job)))) == job


@pytest.mark.slow
def test_two_processes_train_what_one_trains_on_batches_twice_as_large(
    base: Checkpoint, tmp_path: Path
) -> None:
    import torch
    from safetensors.torch import load_file

    from steelyard.harness.plugins.protocols import TrainJob, no_progress
    from steelyard.trainers.full import Full

    (tmp_path / "two.yaml").write_text(CONFIG)
    options = {"steps": 3, "learning_rate": 1e-3, "dtype": "float32"}
    whole = tiny_jobs.train("full", base, tmp_path / "whole", batch_size=8, **options)
    trainer = launched(Full(batch_size=4, **options), "full", tmp_path / "two.yaml")
    told: list[int] = []

    def job(folder: Path, data: bool = True) -> TrainJob:
        folder.mkdir()
        return TrainJob(
            candidate=folder.name, start=base, seed=0, folder=folder, base_name="tiny",
            data=(tiny_jobs.supervised(tmp_path, 48 if data else 0),),
            progress=(lambda done, *_: told.append(done)) if data else no_progress,
        )  # fmt: skip

    split = trainer.train(job(tmp_path / "split"))
    assert told == [1, 2, 3]
    assert "under accelerate launch: 2 processes" in split.manifest.notes[-1]
    assert (split.manifest.trainer, split.manifest.steps) == ("full", 3)
    one, two = (load_file(c.folder / "model.safetensors") for c in (whole, split))
    moved = load_file(base.folder / "model.safetensors")
    change = max(float((one[k] - moved[k]).abs().max()) for k in one)
    apart = max(float((one[k] - two[k]).abs().max()) for k in one)
    assert apart < 0.05 * change, (apart, change)
    assert all(torch.isfinite(tensor).all() for tensor in two.values())
    with pytest.raises(TrainingError, match="the file"):
        trainer.train(job(tmp_path / "nothing", data=False))
