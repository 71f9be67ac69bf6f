"""Weights are the files that transformers reads, and every tensor has its place."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from steelyard.harness.checkpoints import open_base
from steelyard.harness.checkpoints.folder import stray_weights, weight_files
from steelyard.harness.checkpoints.model import load_model_folder
from steelyard.harness.errors import SteelyardError
from tests.harness.checkpoints.hub_folders import answers, answers_of, digest, whole


def test_stray_weights_are_named_and_count_neither_in_digest_nor_in_size(
    model: Path, tmp_path: Path
) -> None:
    folder = whole(model, tmp_path / "whole")
    before = open_base(str(folder)).manifest
    shutil.copyfile(folder / "model.safetensors", folder / "consolidated.safetensors")
    for name in ("pytorch_model.bin", "tf_model.h5", "flax_model.msgpack"):
        (folder / name).write_bytes(b"another library's")
    after = open_base(str(folder)).manifest
    assert (after.digest, after.size_bytes) == (before.digest, before.size_bytes)
    assert after.size_bytes == (folder / "model.safetensors").stat().st_size
    strays = "consolidated.safetensors, flax_model.msgpack, pytorch_model.bin, tf_model.h5"
    assert after.notes == (f"not read: {strays}",)
    assert before.notes == ()


def test_one_file_is_read_before_the_shards_beside_it(model: Path, tmp_path: Path) -> None:
    folder = whole(model, tmp_path / "both")
    for file in model.glob("model*"):
        shutil.copyfile(file, folder / file.name)
    assert [file.name for file in weight_files(folder)] == ["model.safetensors"]
    assert len(stray_weights(folder)) == len(list(model.glob("*.safetensors")))
    # As transformers itself chooses: of two, the shards are not opened.
    for file in model.glob("*.safetensors"):
        (folder / file.name).write_bytes(b"damaged")
    assert answers(folder) == answers_of(model)


def test_a_file_that_transformers_alone_would_read_changes_nothing(
    model: Path, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM

    folder = whole(model, tmp_path / "m")
    other = AutoModelForCausalLM.from_pretrained(folder)
    other.model.norm.weight.data *= 2
    other.save_pretrained(tmp_path / "other")
    # transformers takes a folder with a file of this name for a distributed checkpoint.
    stray = folder / "shard-00001-model-00001-of-00001.safetensors"
    shutil.copyfile(tmp_path / "other" / "model.safetensors", stray)
    assert digest(folder) == digest(model)
    assert answers(folder) == answers_of(model)


def test_a_model_keeps_its_digest_in_one_file_and_in_shards(model: Path, tmp_path: Path) -> None:
    assert digest(whole(model, tmp_path / "one")) == digest(model)


def test_a_configuration_may_name_the_file_of_the_weights(model: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    folder = whole(model, tmp_path / "named")
    other = AutoModelForCausalLM.from_pretrained(folder)
    other.model.norm.weight.data *= 2
    other.save_pretrained(tmp_path / "other")
    shutil.copyfile(tmp_path / "other" / "model.safetensors", folder / "tuned.safetensors")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps(config | {"transformers_weights": "tuned.safetensors"})
    )
    assert [file.name for file in weight_files(folder)] == ["tuned.safetensors"]
    assert stray_weights(folder) == ["model.safetensors"]
    norm = load_model_folder(folder).model.model.norm.weight
    assert norm.tolist() == other.model.norm.weight.tolist()


@pytest.mark.parametrize(
    ("weight_map", "problem"),
    [
        ({"a": "model-00007-of-00007.safetensors"}, "names a file that is not there"),
        ({"a": "../other/model.safetensors"}, "leads out of the folder"),
        ({"a": "/etc/passwd"}, "leads out of the folder"),
        ({}, "names no shards"),
        ({"a": ["model.safetensors"]}, "names no shards"),
        (["model.safetensors"], "names no shards"),
    ],
)
def test_an_index_that_names_no_shard_of_the_folder_is_refused(
    weight_map: object, problem: str, model: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(model, tmp_path / "m"))
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    with pytest.raises(SteelyardError, match=problem) as caught:
        open_base(str(folder))
    assert "model.safetensors.index.json: weight_map" in str(caught.value)


def test_weights_that_lack_a_tensor_are_refused_instead_of_filled_at_random(
    model: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    folder = whole(model, tmp_path / "m")
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.norm.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(SteelyardError, match=r"such as model\.norm\.weight: they would be random"):
        load_model_folder(folder)


def test_tensors_without_a_place_in_the_model_are_refused(model: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    folder = whole(model, tmp_path / "m")
    tensors = load_file(folder / "model.safetensors") | {"value_head.weight": torch.ones(2)}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(SteelyardError, match=r"no place in the model, such as value_head\.weight"):
        load_model_folder(folder)
