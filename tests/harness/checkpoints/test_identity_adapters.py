"""An adapter is the one file that PEFT reads, its settings and its base."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from steelyard.harness.checkpoints import open_base
from steelyard.harness.checkpoints.model import load_model_folder
from steelyard.harness.checkpoints.shown import shown_adapter
from steelyard.harness.errors import SteelyardError
from tests.harness.checkpoints.hub_folders import digest, files


def test_an_adapter_is_the_one_file_that_peft_reads(adapter: Path) -> None:
    before = open_base(str(adapter)).manifest
    shutil.copyfile(
        adapter / "adapter_model.safetensors", adapter / "adapter_model-old.safetensors"
    )
    (adapter / "second").mkdir()
    shutil.copyfile(adapter / "adapter_config.json", adapter / "second" / "adapter_config.json")
    (adapter / "generation_config.json").write_text('{"repetition_penalty": 3.0}')
    after = open_base(str(adapter)).manifest
    assert (after.digest, after.size_bytes) == (before.digest, before.size_bytes)
    assert after.notes == ("not read: adapter_model-old.safetensors",)
    with shown_adapter(adapter) as shown:
        assert files(shown) == ("adapter_config.json", "adapter_model.safetensors")


def test_an_adapters_settings_and_its_bases_count(
    adapter: Path, model: Path, tmp_path: Path
) -> None:
    before = digest(adapter)
    path = adapter / "adapter_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"lora_alpha": 64}))
    assert digest(adapter) != before
    base = Path(shutil.copytree(model, tmp_path / "base"))
    path.write_text(json.dumps(config | {"base_model_name_or_path": str(base)}))
    assert digest(adapter) == before, "the same base elsewhere"
    (base / "generation_config.json").write_text('{"repetition_penalty": 3.0}')
    assert digest(adapter) != before


def test_an_adapter_beside_full_weights_is_refused(adapter: Path, model: Path) -> None:
    for file in model.iterdir():
        if file.is_file():
            shutil.copyfile(file, adapter / file.name)
    with pytest.raises(SteelyardError, match="holds an adapter and full weights"):
        open_base(str(adapter))


def test_an_adapter_on_an_adapter_is_refused(adapter: Path, tmp_path: Path) -> None:
    second = Path(shutil.copytree(adapter, tmp_path / "second"))
    path = second / "adapter_config.json"
    config = json.loads(path.read_text()) | {"base_model_name_or_path": str(adapter)}
    path.write_text(json.dumps(config))
    with pytest.raises(SteelyardError, match="its base is an adapter too"):
        open_base(str(second))
    with pytest.raises(SteelyardError, match="its base is an adapter too"):
        load_model_folder(second)
