"""Somebody else's folder as a candidate."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from harness.checkpoints import check
from harness.errors import CheckpointError
from harness.records import Checkpoint
from tests.trainers import tiny_jobs


def test_a_trainers_output_folder_is_taken_in_without_its_pickles(
    base: Checkpoint, tmp_path: Path
) -> None:
    theirs = Path(shutil.copytree(base.folder, tmp_path / "checkpoint-500"))
    (theirs / "optimizer.pt").write_bytes(b"pickle")
    (theirs / "training_args.bin").write_bytes(b"pickle")
    taken = tiny_jobs.train("none", base, tmp_path / "none", path=str(theirs))
    assert taken.manifest.format == "full"
    assert taken.manifest.digests == base.manifest.digests
    assert not list(taken.folder.glob("*.pt")) + list(taken.folder.glob("*.bin"))
    assert "checkpoint-500" in taken.manifest.notes[0]


def test_an_adapter_from_another_machine_is_put_on_the_parent(
    base: Checkpoint, tmp_path: Path
) -> None:
    lora = tiny_jobs.train("lora", base, tmp_path / "lora", steps=2, learning_rate=1e-2)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copyfile(lora.folder / name, theirs / name)
    config = json.loads((theirs / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = "/cluster/models/base"
    (theirs / "adapter_config.json").write_text(json.dumps(config))
    taken = tiny_jobs.train("none", base, tmp_path / "none", path=str(theirs))
    assert taken.weights_folder == base.folder
    assert taken.manifest.digest == lora.manifest.digest
    assert "move by" in check(taken, base)["adapter applied"]


def test_an_adapter_of_other_weights_than_the_parents_is_refused(
    base: Checkpoint, tmp_path: Path
) -> None:
    other = tiny_jobs.save_base(tmp_path / "other", seed=5)
    lora = tiny_jobs.train("lora", other, tmp_path / "lora", steps=1)
    with pytest.raises(CheckpointError, match="trained on other weights than its parent's"):
        tiny_jobs.train("none", base, tmp_path / "none", path=str(lora.folder))


def test_a_folder_that_is_not_there_is_refused(base: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such folder"):
        tiny_jobs.train("none", base, tmp_path / "none", path=str(tmp_path / "nowhere"))
