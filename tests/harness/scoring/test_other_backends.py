from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from steelyard.harness.errors import CheckpointError, ScoringError, UnknownNameError
from steelyard.harness.scoring import open_model
from steelyard.harness.scoring.journal import Journal
from tests.harness.scoring import tiny


def test_any_lm_eval_backend_is_opened_by_name_and_journalled(tmp_path: Path) -> None:
    requests = [tiny.instance("loglikelihood", "a", f" {n}") for n in range(5)]
    with Journal(tmp_path / "j", "c") as journal:
        lm = open_model("anything", backend="lm-eval:dummy", journal=journal)
        first = lm.loglikelihood(requests)
    with Journal(tmp_path / "j", "c") as journal:
        again = open_model("anything", backend="lm-eval:dummy", journal=journal)
        # The dummy answers at random, so equal answers can only be the journal's.
        assert again.loglikelihood(requests) == first
        assert again.scoring_record()["backend"] == "lm-eval:dummy"


def test_the_hf_backend_by_name_gives_the_numbers_of_our_own(llama: Path) -> None:
    requests = [tiny.instance("loglikelihood", "who lives", f" {n}") for n in range(3)]
    theirs = open_model(
        llama, backend="lm-eval:hf,device=cpu,dtype=float32,batch_size=1"
    ).loglikelihood(requests)
    ours = open_model(llama, device="cpu").loglikelihood(requests)
    assert [value for value, _ in ours] == pytest.approx([v for v, _ in theirs], rel=1e-6)


@pytest.mark.parametrize("backend", ["lm-eval:vlm", "stelyard"])
def test_a_misspelt_backend_gets_a_suggestion(backend: str) -> None:
    with pytest.raises(UnknownNameError, match="did you mean"):
        open_model("anything", backend=backend)


WEIGHTS, ADAPTER = "model.safetensors", "adapter_model.safetensors"
LAYER, LORA = "model.layers.1.mlp.up_proj.weight", "layers.1.self_attn.q_proj.lora_B.weight"


def changed(folder: Path, name: str, key: str, change: str) -> Path:
    """The folder with one tensor of the file missing, misshapen, renamed, or with a NaN."""
    tensors = load_file(folder / name)
    key = next(each for each in tensors if each.endswith(key))
    value = tensors.pop(key)
    if change == "misshapen":
        tensors[key] = torch.zeros(3, 5)
    elif change == "renamed":
        tensors["model.other"] = value
    elif change == "nan":
        tensors[key] = torch.full_like(value, float("nan"))
    save_file(tensors, folder / name, metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("missing", "are not in its weights, such as " + LAYER),
        ("misshapen", "has the shape"),
        ("renamed", "are not in its weights"),
        ("nan", LAYER + " is not finite"),
    ],
)
def test_no_backend_is_handed_a_folder_whose_tensors_are_not_the_models(
    llama: Path, tmp_path: Path, change: str, problem: str
) -> None:
    folder = changed(Path(shutil.copytree(llama, tmp_path / "m")), WEIGHTS, LAYER, change)
    for named in (str(folder), "anything"):
        backend = f"lm-eval:hf,device=cpu,pretrained={folder}"
        with pytest.raises(CheckpointError, match=problem):
            open_model(named, backend=backend)


def test_no_backend_is_handed_half_an_adapter(llama: Path, tmp_path: Path) -> None:
    import peft
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(llama)
    config = peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    peft.get_peft_model(model, config).save_pretrained(tmp_path / "whole")
    requests = [tiny.instance("loglikelihood", "who lives", " 1")]
    hf = "lm-eval:hf,device=cpu,dtype=float32,batch_size=1"
    theirs = open_model(llama, adapter=tmp_path / "whole", backend=hf).loglikelihood(requests)
    ours = open_model(llama, adapter=tmp_path / "whole", device="cpu").loglikelihood(requests)
    assert theirs[0][0] == pytest.approx(ours[0][0], rel=1e-6)
    for change in ("missing", "nan"):
        folder = Path(shutil.copytree(tmp_path / "whole", tmp_path / change))
        changed(folder, ADAPTER, LORA, change)
        with pytest.raises(CheckpointError, match=LORA):
            open_model(llama, adapter=folder, backend=hf)


@pytest.mark.parametrize(
    ("argument", "place"),
    [("api_key=hunter2", "api_key"), ("base_url=https://ann:hunter2@h/v1", "base_url")],
)
def test_a_secret_among_a_backends_arguments_is_refused_and_not_shown(
    argument: str, place: str
) -> None:
    with pytest.raises(ScoringError, match=f"backend: .*got '{place}'") as caught:
        open_model("anything", backend=f"lm-eval:local-completions,{argument}")
    assert "hunter2" not in str(caught.value)
