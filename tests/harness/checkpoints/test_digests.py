from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path

import pytest

from steelyard.harness.checkpoints.digests import (
    adapter_digest,
    chat_template_digest,
    tokenizer_digest,
    weights_digest,
)
from steelyard.harness.errors import CheckpointError
from steelyard.harness.files.digests import data_digest, digest_json, file_digest
from steelyard.harness.suites.identity import content_digest
from tests.harness.scoring import tiny


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_llama(tmp_path_factory.mktemp("llama"))


def test_json_is_digested_by_content_not_by_order() -> None:
    expected = hashlib.sha256('{"a":[1,"é"],"b":null}'.encode()).hexdigest()
    assert digest_json({"b": None, "a": (1, "é")}) == expected
    with pytest.raises(ValueError, match="Out of range"):
        digest_json({"a": float("nan")})


def test_a_file_is_digested_by_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert file_digest(tmp_path / "f") == data_digest(tmp_path / "f") == known


def test_weights_keep_their_digest_when_moved_and_when_sharded(llama: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(llama)
    model.save_pretrained(tmp_path / "sharded", max_shard_size="40KB")
    assert len(list((tmp_path / "sharded").glob("*.safetensors"))) > 2
    moved = Path(shutil.copytree(llama, tmp_path / "moved"))
    digests = {weights_digest(f) for f in (llama, tmp_path / "sharded", moved)}
    assert len(digests) == 1


def test_one_changed_bit_or_setting_is_another_model(llama: Path, tmp_path: Path) -> None:
    before = weights_digest(llama)
    bit = Path(shutil.copytree(llama, tmp_path / "bit"))
    content = bytearray((bit / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (bit / "model.safetensors").write_bytes(content)
    setting = Path(shutil.copytree(llama, tmp_path / "setting"))
    config = json.loads((setting / "config.json").read_text())
    (setting / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 1e-5}))
    writer = Path(shutil.copytree(llama, tmp_path / "writer"))
    (writer / "config.json").write_text(json.dumps(config | {"transformers_version": "9"}))
    assert weights_digest(bit) != before
    assert weights_digest(setting) != before
    assert weights_digest(writer) == before


def test_a_cut_file_is_refused(llama: Path, tmp_path: Path) -> None:
    cut = Path(shutil.copytree(llama, tmp_path / "cut"))
    content = (cut / "model.safetensors").read_bytes()
    (cut / "model.safetensors").write_bytes(content[:-100])
    with pytest.raises(CheckpointError, match="cut short"):
        weights_digest(cut)
    (cut / "model.safetensors").write_bytes(b"no safetensors at all")
    with pytest.raises(CheckpointError, match="not a safetensors file"):
        weights_digest(cut)


def test_an_adapter_is_its_tensors_and_settings_not_its_base(tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    def adapter(name: str, base: str, modules: list[str], r: int = 4) -> str:
        folder = tmp_path / name
        folder.mkdir()
        save_file({"lora_A": torch.ones(2)}, folder / "adapter_model.safetensors")
        config = {"base_model_name_or_path": base, "target_modules": modules, "r": r}
        (folder / "adapter_config.json").write_text(json.dumps(config))
        return adapter_digest(folder)

    first = adapter("a", "/here", ["q_proj", "v_proj"])
    assert first == adapter("b", "/there", ["v_proj", "q_proj"])
    assert first != adapter("c", "/here", ["q_proj", "v_proj"], r=8)


def test_a_tokenizer_keeps_its_digest_when_it_was_used_and_saved_again(
    llama: Path, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(llama)
    tokenizer(["a", "longer text"], padding=True, truncation=True, max_length=8)
    tokenizer.save_pretrained(tmp_path)
    assert tokenizer_digest(tmp_path) == tokenizer_digest(llama)


def test_a_chat_template_counts_apart_from_the_tokenizer(llama: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(llama, tmp_path / "t"))
    assert chat_template_digest(folder) is None
    tokenizer = tokenizer_digest(folder)
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    beside = chat_template_digest(folder)
    (folder / "chat_template.jinja").unlink()
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config["chat_template"] = "{{ messages }}"
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    assert beside == chat_template_digest(folder) is not None
    assert tokenizer_digest(folder) == tokenizer


def test_digests_need_no_torch() -> None:
    import subprocess

    code = "import sys, steelyard.harness.files.digests, steelyard.harness.experiment.data_sets\n"
    code += "import steelyard.harness.checkpoints as c; c.open_base\n"
    code += "print([m for m in ('torch', 'numpy', 'transformers') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_document_with_numbers_that_json_has_no_word_for_has_a_digest() -> None:
    found = {content_digest({"x": x}) for x in (float("inf"), float("-inf"), float("nan"), 0.0)}
    assert len(found) == 4
    assert content_digest({"x": float("nan")}) == content_digest({"x": float("nan")})
