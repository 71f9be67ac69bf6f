"""A model as a hub has it, and an adapter on it, each made once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.harness.checkpoints.hub_folders import CHAT
from tests.harness.scoring import tiny


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama in shards with every kind of file that a folder of the hub has."""
    from transformers import AutoModelForCausalLM

    folder = tiny.save_llama(tmp_path_factory.mktemp("model"))
    whole = AutoModelForCausalLM.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    whole.save_pretrained(folder, max_shard_size="60KB")
    assert len(list(folder.glob("*.safetensors"))) > 1
    (folder / "chat_template.jinja").write_text(CHAT)
    (folder / "special_tokens_map.json").write_text('{"eos_token": "</s>"}')
    (folder / "added_tokens.json").write_text("{}")
    (folder / "README.md").write_text("# A model")
    (folder / "training_args.bin").write_bytes(b"pickled")
    (folder / "logs").mkdir()
    (folder / "logs" / "events").write_bytes(b"log")
    return folder


@pytest.fixture(scope="session")
def saved_adapter(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("adapter")
    base = AutoModelForCausalLM.from_pretrained(model)
    config = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    adapted = get_peft_model(base, config)
    adapted.peft_config["default"].base_model_name_or_path = str(model)
    adapted.save_pretrained(folder)
    return folder


@pytest.fixture
def adapter(saved_adapter: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved_adapter, tmp_path / "adapter"))
