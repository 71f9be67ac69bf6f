"""A configuration that promises more than its weights hold is refused before anything is built."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from steelyard.harness.checkpoints import open_base
from steelyard.harness.checkpoints import sizes as sizes_module
from steelyard.harness.checkpoints.model import load_model_folder
from steelyard.harness.checkpoints.sizes import require_buildable
from steelyard.harness.errors import CheckpointError


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    shutil.copytree(open_base("microworld").weights_folder, folder)
    return folder


def _say(folder: Path, **keys: object) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | keys))


@pytest.mark.parametrize(
    "keys",
    [
        {"num_hidden_layers": 100_000},
        {"vocab_size": 10**12},
        {"intermediate_size": 2**40},
        {"text_config": {"num_hidden_layers": 100_000}},
    ],
)
def test_more_than_the_weights_hold_is_refused_by_its_key(
    model: Path, keys: dict[str, object]
) -> None:
    _say(model, **keys)
    with pytest.raises(CheckpointError, match=r"config.json: .*is more than its weights have"):
        load_model_folder(model, device="cpu")


def test_the_model_as_it_is_may_be_built_and_needs_four_bytes_a_number(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_buildable(model, 4)
    size = (model / "model.safetensors").stat().st_size  # float32, and a header
    monkeypatch.setattr(sizes_module, "total_memory_bytes", lambda: size // 2)
    require_buildable(model, 1)
    require_buildable(model, None)
    with pytest.raises(CheckpointError, match=r"needs .* GB of memory for its weights, and this"):
        require_buildable(model, 4)
