from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from steelyard.harness.checkpoints.model import (
    LoadedModel,
    find_source,
    load_model_folder,
    open_tokenizer,
)
from steelyard.harness.errors import CheckpointError
from tests.harness.scoring import tiny


def logits(loaded: LoadedModel) -> torch.Tensor:
    with torch.inference_mode():
        return loaded.model(torch.arange(1, 20)[None]).logits


def save_lora(base: Path, folder: Path, *, zero: bool) -> Path:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    config = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    if not zero:
        for name, value in adapted.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(value, std=0.3)
    adapted.save_pretrained(folder)
    return folder


def test_a_folder_loads_in_fp32_on_a_cpu_and_in_eval_mode(llama: Path) -> None:
    loaded = load_model_folder(llama, device="cpu")
    assert loaded.model.dtype == torch.float32
    assert not loaded.model.training


def test_an_adapter_folder_loads_on_the_base_it_names_and_changes_the_logits(
    llama: Path, tmp_path: Path
) -> None:
    adapter = save_lora(llama, tmp_path / "lora", zero=False)
    base = logits(load_model_folder(llama, device="cpu"))
    for loaded in (
        load_model_folder(adapter, device="cpu"),
        load_model_folder(llama, adapter=adapter, device="cpu"),
    ):
        assert (logits(loaded) - base).abs().max() > 1e-3


def test_a_fresh_adapter_equals_the_base_to_the_bit(llama: Path, tmp_path: Path) -> None:
    adapter = save_lora(llama, tmp_path / "lora", zero=True)
    loaded = load_model_folder(adapter, device="cpu")
    assert torch.equal(logits(loaded), logits(load_model_folder(llama, device="cpu")))


def test_an_adapter_whose_keys_fit_nowhere_is_refused(llama: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    adapter = save_lora(llama, tmp_path / "lora", zero=False)
    file = adapter / "adapter_model.safetensors"
    renamed = {
        key.replace("self_attn", "attention"): value for key, value in load_file(file).items()
    }
    save_file(renamed, file)
    with pytest.raises(CheckpointError, match="found no place in the model"):
        load_model_folder(llama, adapter=adapter, device="cpu")


def test_an_adapter_that_is_switched_off_is_noticed(
    llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from peft.tuners.lora import Linear

    adapter = save_lora(llama, tmp_path / "lora", zero=False)
    monkeypatch.setattr(Linear, "forward", lambda self, x, *a, **k: self.base_layer(x))
    with pytest.raises(CheckpointError, match="the adapter is not applied"):
        load_model_folder(llama, adapter=adapter, device="cpu")


@pytest.mark.parametrize("four_bit", [True, False])
def test_a_saved_bitsandbytes_checkpoint_loads_and_differs_from_its_parent(
    llama: Path, tmp_path: Path, four_bit: bool
) -> None:
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    options = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}
    config = BitsAndBytesConfig(**(options if four_bit else {"load_in_8bit": True}))
    model = AutoModelForCausalLM.from_pretrained(
        llama, quantization_config=config, device_map={"": "cpu"}
    )
    model.save_pretrained(tmp_path)
    tiny.save_tokenizer(tmp_path)
    loaded = load_model_folder(tmp_path, device="cpu")
    distance = (logits(loaded) - logits(load_model_folder(llama, device="cpu"))).abs().max()
    assert 0 < distance < 20
    assert torch.equal(logits(loaded), logits(loaded))


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        ({"quant_method": "none_such"}, "a quantisation that transformers does not know"),
        ({"quant_method": "bitsandbytes"}, "a quantisation that transformers does not know"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "are not stored in this way"),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "are not stored in this way"),
    ],
)
def test_weights_that_are_not_what_the_configuration_says_of_them_are_refused(
    llama: Path, tmp_path: Path, stated: dict[str, object], words: str
) -> None:
    folder = Path(shutil.copytree(llama, tmp_path / "model"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": stated}))
    with pytest.raises(CheckpointError, match=f"quantization_config: .*{words}") as caught:
        load_model_folder(folder, device="cpu")
    assert "\n" not in str(caught.value)


def test_pickled_weights_are_refused(llama: Path, tmp_path: Path) -> None:
    shutil.copytree(llama, tmp_path, dirs_exist_ok=True)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x02")
    with pytest.raises(CheckpointError, match="pickled"):
        load_model_folder(tmp_path)


def test_a_folder_without_weights_is_named(llama: Path, tmp_path: Path) -> None:
    shutil.copytree(llama, tmp_path, dirs_exist_ok=True)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="no model weights") as caught:
        load_model_folder(tmp_path)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_that_is_not_there_is_named() -> None:
    with pytest.raises(CheckpointError, match="no such model folder"):
        load_model_folder("./nowhere")


def test_a_vocabulary_larger_than_the_embedding_is_refused(llama: Path, tmp_path: Path) -> None:
    shutil.copytree(llama, tmp_path, dirs_exist_ok=True)
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(llama)
    tokenizer.add_tokens(["<extra>"])
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="321 tokens, the embedding 320 rows"):
        load_model_folder(tmp_path, device="cpu")


def test_a_gguf_file_without_a_tokenizer_beside_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    with pytest.raises(CheckpointError, match="no tokenizer"):
        find_source(tmp_path)


def test_a_damaged_configuration_gives_one_line(llama: Path, tmp_path: Path) -> None:
    shutil.copytree(llama, tmp_path, dirs_exist_ok=True)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "no_such_model"}))
    with pytest.raises(CheckpointError) as caught:
        load_model_folder(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_gguf_folder_is_read_with_the_tokenizer_beside_it(real_models: Path) -> None:
    source = find_source(real_models / "smollm2-135m-instruct")
    assert source.gguf_file is not None and source.gguf_file.endswith(".gguf")
    # The tokenizer rebuilt from the GGUF file does not split digits.
    assert len(open_tokenizer(Path(source.tokenizer), Path(source.weights)).encode("2024")) == 4


def test_nothing_draws_a_bar_while_it_is_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    from tqdm.auto import tqdm

    from steelyard.harness.environment import quiet

    with quiet():
        assert list(tqdm(range(3), desc="silent")) == [0, 1, 2]
    # Said outright: an earlier test may have run the command, which turns the default off.
    list(tqdm(range(3), desc="heard again", disable=False))
    said = capfd.readouterr().err
    assert "silent" not in said
    assert "heard again" in said


def test_special_tokens_beside_an_adapter_are_no_tokenizer(tmp_path: Path) -> None:
    from steelyard.harness.checkpoints.folder import TOKENIZER_FILES, has_tokenizer

    (tmp_path / "special_tokens_map.json").write_text("{}")
    (tmp_path / "added_tokens.json").write_text("{}")
    assert not has_tokenizer(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("{}")  # a byte-level one has no vocabulary
    assert has_tokenizer(tmp_path)
    assert {"special_tokens_map.json", "added_tokens.json"} < set(TOKENIZER_FILES)
