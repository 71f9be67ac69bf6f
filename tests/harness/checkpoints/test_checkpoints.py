from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from steelyard.harness.checkpoints import (
    check,
    dequantised,
    load_model,
    open_base,
    open_checkpoint,
    relink,
    with_checks,
    with_energy,
)
from steelyard.harness.checkpoints.digests import weights_digest
from steelyard.harness.errors import CheckpointError
from steelyard.harness.records import Checkpoint, Energy
from tests.trainers import tiny_jobs


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return tiny_jobs.save_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def lora(base: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    folder = tmp_path_factory.mktemp("lora") / "lora"
    return tiny_jobs.train("lora", base, folder, steps=3, learning_rate=1e-2)


def copy(checkpoint: Checkpoint, folder: Path) -> Path:
    return Path(shutil.copytree(checkpoint.folder, folder))


def refusal(folder: Path | str) -> str:
    with pytest.raises(CheckpointError) as caught:
        open_base(str(folder))
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- opening -----------------------------------------------------------------------------------


def test_a_folder_opens_as_a_base_known_by_its_content(base: Checkpoint, tmp_path: Path) -> None:
    moved = open_base(str(copy(base, tmp_path / "elsewhere")))
    assert moved.manifest.digest == base.manifest.digest
    assert (base.manifest.format, base.manifest.candidate) == ("full", "base")
    assert base.manifest.size_bytes == (base.folder / "model.safetensors").stat().st_size
    assert not (base.folder / "manifest.json").exists()


def test_a_relative_name_is_resolved_by_the_caller(base: Checkpoint) -> None:
    found = open_base(base.folder.name, resolve=lambda name: base.folder.parent / name)
    assert found.folder == base.folder


def test_a_registered_base_opens_by_name() -> None:
    found = open_base("microworld")
    assert found.manifest.base == "microworld"
    assert found.weights_folder.name == "base"


def test_a_folder_without_weights_is_refused(base: Checkpoint, tmp_path: Path) -> None:
    folder = copy(base, tmp_path / "empty")
    (folder / "model.safetensors").unlink()
    assert "no model weights" in refusal(folder)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "consolidated.00.pth", "model.pt"])
def test_pickled_weights_are_refused_and_never_read(
    base: Checkpoint, tmp_path: Path, name: str
) -> None:
    folder = copy(base, tmp_path / "pickled")
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    line = refusal(folder)
    assert f"pickled ({name})" in line
    assert "safe_serialization" in line


def test_a_folder_without_tokenizer_or_configuration_is_refused(
    base: Checkpoint, tmp_path: Path
) -> None:
    folder = copy(base, tmp_path / "bare")
    (folder / "config.json").unlink()
    assert "no config.json" in refusal(folder)
    folder = copy(base, tmp_path / "mute")
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    assert "no tokenizer" in refusal(folder)


def test_a_vocabulary_larger_than_the_embedding_is_refused(
    base: Checkpoint, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    folder = copy(base, tmp_path / "large")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["<new>", "<newer>"])
    tokenizer.save_pretrained(folder)
    with pytest.raises(CheckpointError, match="322 tokens, the embedding 320 rows"):
        load_model(open_base(str(folder)))


def test_a_name_that_is_nothing_is_answered_with_what_is_near(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert "did you mean 'microworld'" in refusal("microwrold")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "not in the local cache" in refusal("no-such-org/no-such-model")


def test_several_gguf_files_are_refused(base: Checkpoint, tmp_path: Path) -> None:
    folder = copy(base, tmp_path / "many")
    (folder / "model.safetensors").unlink()
    for name in ("a.gguf", "b.gguf"):
        (folder / name).write_bytes(b"GGUF")
    assert "several GGUF files" in refusal(folder)
    one = open_base(str(folder / "a.gguf"))
    assert (one.gguf_file, one.manifest.format) == ("a.gguf", "gguf")


# --- what Steelyard wrote
# --------------------------------------------------------------------------


def test_a_changed_tensor_is_noticed_where_the_folder_is_verified(
    base: Checkpoint, tmp_path: Path
) -> None:
    full = tiny_jobs.train("full", base, tmp_path / "full", steps=1)
    file = full.folder / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    open_checkpoint(full.folder)
    with pytest.raises(CheckpointError, match="the weights changed"):
        open_checkpoint(full.folder, verify=True)
    # Journals and runs go by the manifest: it must not lend its name to other weights.
    with pytest.raises(CheckpointError, match="the weights changed"):
        open_base(str(full.folder))


def test_a_folder_without_manifest_is_not_a_checkpoint(base: Checkpoint) -> None:
    with pytest.raises(CheckpointError, match=r"no manifest\.json"):
        open_checkpoint(base.folder)


def test_energy_and_checks_join_the_manifest_and_change_no_digest(
    lora: Checkpoint, tmp_path: Path
) -> None:
    energy = Energy(phase="train", seconds=1.0, energy_kwh=None, grade="unavailable")
    folder = copy(lora, tmp_path / "lora")
    found = with_checks(with_energy(open_checkpoint(folder), energy, 7), {"finite": "yes"})
    assert found == open_checkpoint(folder)
    assert found.manifest.energy == energy
    assert (found.manifest.peak_memory_bytes, found.manifest.checks) == (7, {"finite": "yes"})
    assert found.manifest.digest == lora.manifest.digest


def test_an_adapter_finds_its_base_after_the_workspace_moved(
    base: Checkpoint, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    full = tiny_jobs.train("full", base, old / "checkpoints" / "f", steps=1)
    lora = tiny_jobs.train("lora", full, old / "tmp" / "deep" / "l", steps=1)
    relink(lora, old / "checkpoints" / "l")
    lora.folder.rename(old / "checkpoints" / "l")
    old.rename(tmp_path / "new")
    found = open_checkpoint(tmp_path / "new" / "checkpoints" / "l", verify=True)
    assert found.weights_folder == tmp_path / "new" / "checkpoints" / "f"


def test_an_adapter_whose_base_is_gone_says_so(base: Checkpoint, tmp_path: Path) -> None:
    full = tiny_jobs.train("full", base, tmp_path / "full", steps=1)
    lora = tiny_jobs.train("lora", full, tmp_path / "lora", steps=1)
    shutil.rmtree(full.folder)
    with pytest.raises(CheckpointError, match="the base of this adapter is gone"):
        open_checkpoint(lora.folder)


# --- loading and checking ----------------------------------------------------------------------


def test_a_model_to_train_is_in_training_mode_and_takes_gradients(base: Checkpoint) -> None:
    model, _ = load_model(base, trainable=True)
    assert model.training and all(p.requires_grad for p in model.parameters())
    model, _ = load_model(base)
    assert not model.training and not any(p.requires_grad for p in model.parameters())


def test_quantised_weights_are_not_trained(base: Checkpoint, tmp_path: Path) -> None:
    nf4 = tiny_jobs.train("quantize", base, tmp_path / "nf4", scheme="nf4")
    with pytest.raises(
        CheckpointError, match="quantised weights cannot be trained, merged or changed"
    ):
        load_model(nf4, trainable=True)


def test_an_adapter_is_merged_when_it_is_loaded(lora: Checkpoint) -> None:
    from transformers import AutoModelForCausalLM

    merged, _ = load_model(lora)
    adapted = AutoModelForCausalLM.from_pretrained(lora.folder, dtype=torch.float32).eval()
    difference = tiny_jobs.logits(merged) - tiny_jobs.logits(adapted)
    assert float(difference.abs().max()) < 1e-5


def test_tensors_that_are_not_finite_fail_the_check(base: Checkpoint, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = copy(base, tmp_path / "nan")
    tensors = load_file(folder / "model.safetensors")
    tensors["model.norm.weight"][3] = float("nan")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"model\.norm\.weight is not finite"):
        check(open_base(str(folder)), base)


def test_an_adapter_that_does_not_fit_its_base_fails_the_check(
    lora: Checkpoint, base: Checkpoint, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    folder = copy(lora, tmp_path / "renamed")
    tensors = load_file(folder / "adapter_model.safetensors")
    renamed = {key.replace("model.model", "model.language_model"): v for key, v in tensors.items()}
    save_file(renamed, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError):
        check(open_checkpoint(folder), base)


def test_a_tokenizer_that_changed_is_told(base: Checkpoint, tmp_path: Path) -> None:
    folder = copy(base, tmp_path / "other")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"model_max_length": 7}))
    assert check(open_base(str(folder)), base)["tokenizer"] == "differs from the start's"


# --- GGUF --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_gguf_base_is_copied_exactly_and_known_by_its_own_tensors(
    real_models: Path, tmp_path: Path
) -> None:
    base = open_base(str(real_models / "smollm2-135m-instruct"))
    assert base.manifest.format == "gguf"
    copied = dequantised(base, tmp_path / "copy")
    assert copied.manifest.digests.weights == weights_digest(copied.folder)
    assert copied.manifest.digests.tokenizer == base.manifest.digests.tokenizer
    assert copied.manifest.parameters == 134_515_008  # models/README.md
    assert open_checkpoint(copied.folder, verify=True) == copied
    assert dequantised(base, tmp_path / "copy") == copied
    ours, tokenizer = load_model(copied)
    theirs, _ = load_model(base)
    assert torch.equal(tiny_jobs.logits(ours), tiny_jobs.logits(theirs))
    assert len(tokenizer.tokenize("2024")) == 4  # the rebuilt tokenizer loses the digit splitting
