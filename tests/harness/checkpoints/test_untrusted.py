"""A model folder that somebody else made: what it can make Steelyard read, run, or believe."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from steelyard.harness.checkpoints import (
    load_model_folder,
    open_base,
    open_checkpoint,
    trust_python,
)
from steelyard.harness.checkpoints.digests import adapter_digest, python_digest
from steelyard.harness.checkpoints.folder import stray_note
from steelyard.harness.errors import SteelyardError
from tests.harness.scoring import tiny

WEIGHTS = "model.safetensors"
ADAPTER = "adapter_model.safetensors"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_llama(tmp_path_factory.mktemp("made"), num_hidden_layers=1)


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "model"))


@pytest.fixture(scope="module")
def made_adapter(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    place = tmp_path_factory.mktemp("adapter")
    config = LoraConfig(
        r=2, target_modules=["q_proj"], modules_to_save=["lm_head"], init_lora_weights=False
    )
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(made), config)
    adapted.peft_config["default"].base_model_name_or_path = str(made)
    adapted.save_pretrained(place)
    return place


@pytest.fixture
def adapter(made_adapter: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made_adapter, tmp_path / "adapter"))


def change(file: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Edit the tensors of a safetensors file, or the object of a JSON file."""
    if file.suffix == ".json":
        content = json.loads(file.read_text())
        edit(content)
        file.write_text(json.dumps(content))
        return
    tensors = load_file(file)
    edit(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


def refusal(folder: Path, **options: Any) -> str:
    """The one line by which opening and loading a folder is refused."""
    with pytest.raises(SteelyardError) as caught:
        open_base(str(folder))
        load_model_folder(folder, device="cpu", **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class Runs:
    """Whoever reads this pickle makes a folder."""

    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (self.marker,)


# --- tensors ------------------------------------------------------------------------------------

LAYER = "model.layers.0.mlp.up_proj.weight"


def test_every_tensor_of_the_folder_is_the_models_and_every_one_of_the_model_is_there(
    folder: Path,
) -> None:
    change(folder / WEIGHTS, lambda tensors: tensors.pop(LAYER))
    assert f"1 tensors of the model are not in its weights, such as {LAYER}" in refusal(folder)


def test_a_layer_more_than_the_configuration_says_is_refused(folder: Path) -> None:
    change(
        folder / WEIGHTS,
        lambda t: t.update({k.replace("rs.0.", "rs.1."): v.clone() for k, v in t.items()}),
    )
    assert "tensors of its weights have no place in the model, such as model.layers.1." in refusal(
        folder
    )


def test_a_tensor_of_another_shape_is_named_with_both_shapes(folder: Path) -> None:
    change(folder / WEIGHTS, lambda tensors: tensors.update({LAYER: torch.ones(48, 32)}))
    told = refusal(folder)
    assert f"the tensor {LAYER} has the shape (48, 32) in its weights and (64, 32) in the" in told


def test_constants_that_older_versions_stored_are_no_tensors_of_the_model(folder: Path) -> None:
    stored = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}
    change(folder / WEIGHTS, lambda tensors: tensors.update(stored))
    load_model_folder(folder, device="cpu")


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_a_tensor_that_is_no_number_is_refused_before_anything_is_scored(
    folder: Path, value: float
) -> None:
    def spoil(tensors: dict[str, Any]) -> None:
        tensors[LAYER][3, 4] = value

    change(folder / WEIGHTS, spoil)
    assert f"the tensor {LAYER} is not finite" in refusal(folder)


def test_a_matrix_of_zeros_is_a_matrix_and_is_said(folder: Path) -> None:
    change(folder / WEIGHTS, lambda tensors: tensors[LAYER].zero_())
    assert load_model_folder(folder, device="cpu").notes == (
        f"1 matrix is zero everywhere, such as {LAYER}",
    )


def test_integers_are_no_weights_where_nothing_says_what_they_stand_for(folder: Path) -> None:
    change(folder / WEIGHTS, lambda t: t.update({LAYER: torch.ones(64, 32, dtype=torch.int8)}))
    assert f"the tensor {LAYER} is stored as integers" in refusal(folder)


def test_whole_weights_under_a_configuration_of_packed_ones_are_refused(folder: Path) -> None:
    packed = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    change(folder / "config.json", lambda config: config.update(quantization_config=packed))
    assert "the weights are not stored in this way" in refusal(folder)


def test_a_tensor_in_two_shards_is_refused(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    half = {"a": dict(list(tensors.items())[:6]), "b": dict(list(tensors.items())[5:])}
    for name, part in half.items():
        save_file(part, folder / f"{name}.safetensors", metadata={"format": "pt"})
    places = {key: f"{name}.safetensors" for name, part in half.items() for key in part}
    index = {"metadata": {}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "holds a tensor that a.safetensors holds too" in refusal(folder)


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("lora_A", "1 tensors that adapter_config.json asks for are not in adapter_model.safetens"),
        ("lm_head", "its file lacks the tensor 'base_model.model.lm_head.weight'"),
    ],
)
def test_an_adapter_without_a_tensor_that_its_configuration_asks_for_is_refused(
    adapter: Path, key: str, told: str
) -> None:
    def drop(tensors: dict[str, Any]) -> None:
        del tensors[next(name for name in tensors if key in name)]

    change(adapter / ADAPTER, drop)
    assert told in refusal(adapter)


def test_an_adapter_with_a_tensor_that_is_no_number_is_refused(adapter: Path) -> None:
    change(adapter / ADAPTER, lambda t: next(iter(t.values())).fill_(float("nan")))
    assert "is not finite" in refusal(adapter)


# --- which files --------------------------------------------------------------------------------


def _index(place: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / WEIGHTS).rename(folder.parent / "outside.safetensors")
        shutil.copy(folder.parent / "outside.safetensors", folder / "pytorch_model.bin")
        name = place.format(parent=folder.parent)
        index = {"weight_map": {"model.norm.weight": name}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))

    return write


def _named(name: str) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        (folder / WEIGHTS).rename(folder.parent / "outside.safetensors")
        shutil.copy(folder.parent / "outside.safetensors", folder / "weights.bin")
        change(folder / "config.json", lambda config: config.update(transformers_weights=name))

    return write


@pytest.mark.parametrize(
    "spoil",
    [
        _index("../outside.safetensors"),
        _index("{parent}/outside.safetensors"),
        _index("pytorch_model.bin"),
        _named("../outside.safetensors"),
        _named("weights.bin"),
    ],
    ids=["index-parent", "index-absolute", "index-pickle", "key-parent", "key-pickle"],
)
def test_no_file_outside_the_folder_and_no_pickle_is_read_as_weights(
    folder: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(folder)
    told = refusal(folder)
    assert "leads out of the folder" in told or "names no safetensors" in told


@pytest.mark.parametrize("name", ["pytorch_model.bin", "adapter_model.bin", "model.pt"])
def test_a_pickle_is_never_read_whatever_lies_beside_it(
    folder: Path, adapter: Path, tmp_path: Path, name: str
) -> None:
    place = adapter if "adapter" in name else folder
    expected = ADAPTER if place == adapter else WEIGHTS
    (place / expected).rename(place / expected.replace(".saf", "_decoy.saf"))
    (place / name).write_bytes(pickle.dumps(Runs(tmp_path / "ran")))
    assert "weights are pickled" in refusal(place)
    assert not (tmp_path / "ran").exists()


def test_what_else_looks_like_weights_is_named_and_not_read(folder: Path) -> None:
    before = open_base(str(folder)).manifest.digest
    for name in (
        "MODEL.safetensors",
        "model.fp16.safetensors",
        "tf_model.h5",
        "flax_model.msgpack",
        "model.pickle",
    ):
        (folder / name).write_bytes(b"x")
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.onnx").write_bytes(b"x")
    assert open_base(str(folder)).manifest.digest == before
    assert stray_note(folder) == (
        "not read: MODEL.safetensors, flax_model.msgpack, model.fp16.safetensors, model.pickle "
        "and 2 more",
    )


# --- links --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [WEIGHTS, "config.json", "tokenizer.json", "vocab.txt", "generation_config.json",
     "chat_template.jinja", "additional_chat_templates/tool.jinja", "manifest.json",
     "model.safetensors.index.json", "LICENSE", "old.safetensors"],
)  # fmt: skip
def test_a_link_that_leaves_the_folder_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    outside, link = tmp_path / "outside", folder / name
    if link.is_file():
        link.rename(outside)
    else:
        outside.write_text("{}")
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(outside)
    if name == "model.safetensors.index.json":
        (folder / WEIGHTS).unlink()
    told = refusal(folder)
    # A long path is shown shortened.
    assert f"{name}: is a link that leads out of the folder (got '/" in told


def test_a_linked_folder_of_templates_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "tool.jinja").write_text("secret")
    (folder / "additional_chat_templates").symlink_to(tmp_path / "templates")
    assert "is a link that leads out of the folder" in refusal(folder)


def test_a_link_within_the_folder_is_a_file_of_it(folder: Path) -> None:
    before = open_base(str(folder)).manifest.digest
    (folder / WEIGHTS).rename(folder / "weights")
    (folder / WEIGHTS).symlink_to("weights")
    assert open_base(str(folder)).manifest.digest == before


def test_the_hubs_cache_is_read_through_its_links_and_through_no_others(
    folder: Path, tmp_path: Path
) -> None:
    before = open_base(str(folder)).manifest.digest
    model = tmp_path / "models--org--name"
    snapshot = model / "snapshots" / "0123abc"
    snapshot.mkdir(parents=True)
    folder.rename(model / "blobs")
    for file in (model / "blobs").iterdir():
        (snapshot / file.name).symlink_to(f"../../blobs/{file.name}")
    assert open_base(str(snapshot)).manifest.digest == before
    other = tmp_path / "models--org--other" / "blobs"
    other.mkdir(parents=True)
    (model / "blobs" / "config.json").rename(other / "config.json")
    (snapshot / "config.json").unlink()
    (snapshot / "config.json").symlink_to("../../../models--org--other/blobs/config.json")
    assert "leads out of the folder" in refusal(snapshot)


@pytest.mark.parametrize("name", [WEIGHTS, "config.json", "tokenizer.json", "model.gguf"])
def test_a_named_pipe_is_refused_instead_of_read_for_ever(folder: Path, name: str) -> None:
    (folder / name).unlink(missing_ok=True)
    if name == "model.gguf":
        (folder / WEIGHTS).unlink()
    os.mkfifo(folder / name)
    assert f"{name}: is no plain file" in refusal(folder)


def test_a_link_to_nothing_is_told(folder: Path) -> None:
    (folder / "generation_config.json").unlink()
    (folder / "generation_config.json").symlink_to("gone.json")
    assert "generation_config.json: is a link to nothing" in refusal(folder)


# --- what it says of itself ---------------------------------------------------------------------


def test_no_manifest_makes_weights_pass_as_another_models(
    folder: Path, made: Path, tmp_path: Path
) -> None:
    good = open_base(str(made)).manifest
    change(folder / WEIGHTS, lambda tensors: tensors[LAYER].mul_(2))
    bad = open_base(str(folder)).manifest
    claim = {"digest of the float32 copy": bad.digests.weights}
    (folder / "manifest.json").write_text(
        good.model_copy(update={"checks": claim}).model_dump_json()
    )
    assert "the weights changed since the manifest was written" in refusal(folder)
    with pytest.raises(SteelyardError, match="the weights changed"):
        open_checkpoint(folder, verify=True)


def test_what_a_manifest_claims_besides_is_not_taken_over(folder: Path) -> None:
    plain = open_base(str(folder)).manifest
    claims = {
        "size_bytes": 1,
        "dtype": "int4",
        "trainer": "lora",
        "parameters": 7,
        "checks": {"finite": "every tensor"},
        "notes": ("passed every test",),
        "held_out_accuracy": {"value": 0.99, "low": 0.98, "high": 1.0, "n": 1000},
        "energy": {"phase": "train", "kwh": 1e-9, "seconds": 1.0, "source": "nvml"},
    }
    content = plain.model_dump(mode="json")
    content.update({key: value for key, value in claims.items() if key != "energy"})
    (folder / "manifest.json").write_text(json.dumps(content))
    opened = open_base(str(folder)).manifest
    assert opened == plain.model_copy(update={"created_at": opened.created_at})


# --- foreign code -------------------------------------------------------------------------------

OWN_PYTHON = """
import os
os.makedirs({marker!r}, exist_ok=True)
from transformers import LlamaConfig as C, LlamaForCausalLM as M, PreTrainedTokenizerFast as T
class OwnConfig(C): model_type = "own"
class OwnModel(M): config_class = OwnConfig
class OwnTokenizer(T): pass
"""


def with_python(folder: Path, marker: Path, model_type: str = "own") -> Path:
    (folder / "own.py").write_text(OWN_PYTHON.format(marker=str(marker)))
    classes = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}
    change(
        folder / "config.json",
        lambda config: config.update(auto_map=classes, model_type=model_type),
    )
    return folder


def test_a_model_of_its_own_python_is_refused_and_nobody_is_asked(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(*_: object) -> str:
        raise AssertionError("standard input was asked")

    monkeypatch.setattr("builtins.input", asked)
    told = refusal(with_python(folder, tmp_path / "ran"))
    assert "config.json: auto_map: is Python of the folder's own, which is not run" in told
    assert not (tmp_path / "ran").exists()


def test_where_transformers_has_the_class_the_folders_is_not_run(
    folder: Path, tmp_path: Path
) -> None:
    load_model_folder(with_python(folder, tmp_path / "ran", "llama"), device="cpu")
    assert not (tmp_path / "ran").exists()


def test_a_tokenizer_of_its_own_python_is_not_taken_for_another(
    folder: Path, tmp_path: Path
) -> None:
    with_python(folder, tmp_path / "ran", "llama")
    change(
        folder / "tokenizer_config.json",
        lambda c: c.update(
            tokenizer_class="OwnTokenizer", auto_map={"AutoTokenizer": [None, "own.OwnTokenizer"]}
        ),
    )
    told = refusal(folder)
    assert "tokenizer_config.json: auto_map: is Python of the folder's own" in told
    assert not (tmp_path / "ran").exists()


def test_python_that_an_experiment_names_by_its_digest_runs_and_no_other(
    folder: Path, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "hf"))
    monkeypatch.syspath_prepend(tmp_path / "hf")
    plain = open_base(str(with_python(folder, tmp_path / "ran"))).manifest.digest
    told = refusal(folder)
    digest = told.rpartition("trust_remote_code: ")[2].split()[0]
    trust_python(digest)
    try:
        loaded = load_model_folder(folder, device="cpu")
        (folder / "own.py").write_text((folder / "own.py").read_text() + "# another")
        assert "is Python of the folder's own" in refusal(folder)
    finally:
        trust_python(None)
    assert (tmp_path / "ran").is_dir()
    assert type(loaded.model).__name__ == "OwnModel"
    ids = torch.arange(3, 20)[None]
    ours = load_model_folder(made, device="cpu").model(ids).logits
    assert torch.equal(loaded.model(ids).logits, ours)
    assert open_base(str(folder)).manifest.digest != plain


def test_code_of_another_repository_is_never_trusted(folder: Path, tmp_path: Path) -> None:
    with_python(folder, tmp_path / "ran")
    other = {"AutoConfig": "org/name--own.OwnConfig"}
    change(folder / "config.json", lambda config: config.update(auto_map=other))
    trust_python(python_digest(folder))
    try:
        assert "auto_map: names code on the hub" in refusal(folder)
    finally:
        trust_python(None)


@pytest.mark.parametrize("key", ["attn_implementation", "_attn_implementation"])
def test_a_kernel_of_the_hub_is_refused(folder: Path, key: str) -> None:
    change(folder / "config.json", lambda config: config.update({key: "stranger/kernel"}))
    assert f"{key}: names code on the hub (got 'stranger/kernel')" in refusal(folder)


def test_a_link_of_ours_to_another_base_than_peft_would_take_is_refused(
    adapter: Path, made: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(made, tmp_path / "other"))
    (adapter / "base.json").write_text(json.dumps({"absolute": str(other)}))
    before = open_base(str(adapter)).manifest.digest  # a copy of the base is the base
    change(other / WEIGHTS, lambda tensors: tensors[LAYER].mul_(2))
    assert "base.json: leads to another base than adapter_config.json" in refusal(adapter)
    (adapter / "base.json").unlink()
    assert open_base(str(adapter)).manifest.digest == before


def test_an_adapter_changes_no_tensor_of_the_base(adapter: Path) -> None:
    stranger = {f"base_model.model.{LAYER}": torch.ones(64, 32)}
    change(adapter / ADAPTER, lambda tensors: tensors.update(stranger))
    assert f"no place in the model, such as base_model.model.{LAYER}" in refusal(adapter)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("megatron_config", {"hidden_size": 4}),
        ("corda_config", {"cache_file": "cache.pt"}),
        ("shadow_model", "stranger/model"),
    ],
)
def test_an_adapter_that_leads_elsewhere_is_refused(adapter: Path, key: str, value: object) -> None:
    change(adapter / "adapter_config.json", lambda config: config.update({key: value}))
    assert "leads to what is not in the folder" in refusal(adapter)


@pytest.mark.parametrize("ranges", [[[0, 1]] * 100_000, [[0, 10**9]], [[0, "x"]], 7])
def test_an_adapter_that_asks_for_layers_without_end_is_refused_before_one_is_built(
    adapter: Path, ranges: object
) -> None:
    change(adapter / "adapter_config.json", lambda config: config.update(layer_replication=ranges))
    assert "layer_replication: is no list of ranges that make at most 1000" in refusal(adapter)


def test_an_adapter_of_adapters_elsewhere_is_refused(adapter: Path) -> None:
    change(
        adapter / "adapter_config.json",
        lambda c: c.update(peft_type="XLORA", adapters={"0": "/elsewhere"}),
    )
    assert "adapters: leads to what is not in the folder" in refusal(adapter)
    assert adapter_digest(adapter)


@pytest.mark.slow
def test_a_candidate_of_a_model_of_trusted_python_is_trained_checked_and_scored(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import steelyard

    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "hf"))
    with_python(folder, tmp_path / "ran")
    (tmp_path / "rows.jsonl").write_text('{"prompt": "the quick", "completion": " fox"}\n' * 2)
    experiment = {
        "name": "trusted",
        "base": str(folder),
        "trust_remote_code": python_digest(folder),
        "data": {"rows": {"path": str(tmp_path / "rows.jsonl")}},
        "candidates": {"full": {"trainer": "full", "data": "rows", "steps": 1, "batch_size": 1}},
        "suite": ["microworld_known"],
        "limit": 2,
    }
    result = steelyard.run(experiment, workspace=tmp_path / "w", gate=False)
    assert result.failures == ()
    checkpoint = result.candidates["full"].record.checkpoint
    assert checkpoint.checks["opened"].startswith("in a fresh process")
