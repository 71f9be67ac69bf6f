"""What is identified is what is loaded: one change of one file either gives a model another digest,
or nothing that it answers changes by a bit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steelyard.harness.checkpoints import open_base
from steelyard.harness.checkpoints.folder import (
    TOKENIZER_FILES,
    stray_weights,
    tokenizer_files,
    weight_files,
)
from steelyard.harness.checkpoints.model import load_model_folder
from steelyard.harness.checkpoints.shown import shown_adapter, shown_model, shown_tokenizer
from steelyard.harness.checkpoints.writing import copy_tokenizer
from steelyard.harness.errors import SteelyardError
from steelyard.harness.files import digest_json
from tests.harness.scoring import tiny

CHAT = "{% for m in messages %}{{ m['content'] }}{{ eos_token }}{% endfor %}"
#: Texts in which special tokens, spaces and other scripts would be cut otherwise.
TEXTS = ("the quick brown fox", " a model</s> that  knows", "<pad> who lives ? é 東", "")
PROMPTS = ("the quick", "who lives in the tower ? answer :")

#: Files that a folder may hold beside those that it has: what transformers, PEFT and tokenizers
#: look for under some name, and what trainings, hubs and people leave.
ADDED_NAMES = (
    "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin", "pytorch_model.bin",
    "model.safetensors", "model.fp16.safetensors", "consolidated.safetensors", "stray.safetensors",
    "model-00009-of-00009.safetensors", "shard-00001-model-00001-of-00001.safetensors",
    "model.gguf", "tf_model.h5", "optimizer.pt", "training_args.bin", "trainer_state.json",
    "added_tokens.json", "special_tokens_map.json", "vocab.json", "merges.txt", "vocab.txt",
    "tokenizer.model", "tokenizer.model.v3", "tekken.json", "tiktoken.model", "spiece.model",
    "chat_template.json", "additional_chat_templates/default.jinja",
    "additional_chat_templates/tool_use.jinja", "custom_generate/generate.py", "modeling_own.py",
    "tokenization_own.py", "preprocessor_config.json", "processor_config.json",
    "quantize_config.json", "quant_config.json", "params.json", "README.md", "LICENSE",
    ".gitattributes", "logs/events.out", "checkpoint-5/model.safetensors", "notes.txt",
)  # fmt: skip
#: Values that a key may change to.
VALUES = st.sampled_from(
    [None, True, False, 0, 1, 2, 5, 0.5, 3.0, "", "the", "</s>", "<pad>", "left", "4.57.0",
     "float16", [], [3], {}, {"pad_token": "the", "pad_id": 5}]
)  # fmt: skip


@pytest.fixture(scope="module")
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


def answers(folder: Path) -> tuple[object, ...]:
    """All that a model says: tokens, log-probabilities, generated tokens and a chat's prompt."""
    import torch

    loaded = load_model_folder(folder)
    tokens = tuple(tuple(loaded.tokenizer(text).input_ids) for text in TEXTS)
    said: list[object] = [tokens]
    with torch.inference_mode():
        for prompt in PROMPTS:
            ids = torch.tensor([loaded.tokenizer(prompt).input_ids])
            logits = loaded.model(input_ids=ids).logits
            generated = loaded.model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=8,
                do_sample=False,
                use_cache=True,
            )
            said += [logits.numpy().tobytes(), loaded.tokenizer.decode(generated[0])]
    said.append(loaded.tokenizer.decode([3, 0, 1, 2, 9], skip_special_tokens=True))
    said.append(_chat(loaded.tokenizer))
    return tuple(said)


def _chat(tokenizer: Any) -> str:
    try:
        return str(
            tokenizer.apply_chat_template([{"role": "user", "content": "hello"}], tokenize=False)
        )
    except ValueError as error:  # no template, or several and no default
        return f"refused: {error}"


def digest(folder: Path) -> str:
    return open_base(str(folder)).manifest.digest


# --- one change of one file ---------------------------------------------------------------------

Change = Callable[[Path], object]


def _edited_json(path: Path, key: str, value: object, nested: bool) -> None:
    content = json.loads(path.read_text())
    target = content
    inner = [v for v in content.values() if isinstance(v, dict) and v] if nested else []
    if inner:
        target = inner[0]
    keys = sorted(target)
    target[keys[len(key) % len(keys)] if keys and key.startswith("?") else key] = value
    path.write_text(json.dumps(content))


def _without_key(path: Path, number: int) -> None:
    content = json.loads(path.read_text())
    keys = sorted(content)
    if keys:
        del content[keys[number % len(keys)]]
    path.write_text(json.dumps(content))


def _flipped(path: Path, where: float, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[int(where * (len(content) - 1))] ^= 1 << bit
    path.write_bytes(bytes(content))


KEYS = st.sampled_from(
    ["?", "??", "???", "????", "?????", "??????", "???????", "repetition_penalty", "num_beams",
     "no_repeat_ngram_size", "eos_token_id", "min_new_tokens", "suppress_tokens", "use_cache",
     "_name_or_path", "transformers_version", "transformers_weights", "auto_map", "chat_template",
     "add_bos_token", "add_prefix_space", "split_special_tokens", "padding", "truncation",
     "pad_token", "padding_side", "rope_theta", "tie_word_embeddings", "quantization_config",
     "revision", "extra_special_tokens", "fix_mistral_regex", "metadata", "weight_map"]
)  # fmt: skip


@st.composite
def changes(draw: st.DrawFn, names: tuple[str, ...]) -> tuple[str, Change]:
    """What is done to one file of a folder with these files, and its name in a report."""
    kind = draw(st.sampled_from(["delete", "edit", "edit", "edit", "flip", "add", "add"]))
    if kind == "add":
        name = draw(st.sampled_from(ADDED_NAMES))
        source = draw(st.sampled_from([*names, "", "{}", CHAT + "!", '{"the": 7}']))
        return f"add {name} ({source})", lambda folder: _added(folder, name, source, names)
    name = draw(st.sampled_from(names))
    if kind == "delete":
        return f"delete {name}", lambda folder: (folder / name).unlink()
    if kind == "edit" and name.endswith(".json"):
        if draw(st.integers(0, 3)) == 0:
            number = draw(st.integers(0, 40))
            return f"{name} without {number}", lambda folder: _without_key(folder / name, number)
        key, value, nested = draw(KEYS), draw(VALUES), draw(st.booleans())
        return (
            f"{name}: {key} = {value!r} {nested}",
            lambda folder: _edited_json(folder / name, key, value, nested),
        )
    where, bit = draw(st.floats(0, 1)), draw(st.integers(0, 7))
    return f"flip {name} {where} {bit}", lambda folder: _flipped(folder / name, where, bit)


def _added(folder: Path, name: str, source: str, names: tuple[str, ...]) -> None:
    path = folder / name
    path.parent.mkdir(exist_ok=True, parents=True)
    content = (folder / source).read_bytes() if source in names else source.encode()
    path.write_bytes(content)


def _files(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()))


def _outcome(change: Change, model: Path, folder: Path) -> str:
    """What came of a change: another digest, refused, or the same bits."""
    before = digest(model)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(model, folder)
    change(folder)
    try:
        if digest(folder) != before:
            return "another digest"
        assert answers(folder) == answers_of(model)
    except SteelyardError as error:
        assert "\n" not in str(error)
        return "refused"
    return "the same bits"


_answered: dict[Path, tuple[object, ...]] = {}


def answers_of(model: Path) -> tuple[object, ...]:
    if model not in _answered:
        _answered[model] = answers(model)
    return _answered[model]


def _property(model: Path, folder: Path, examples: int) -> None:
    names = _files(model)
    outcomes: dict[str, int] = {}

    @settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
        database=None,
    )
    @given(changes(names))
    def check(change: tuple[str, Change]) -> None:
        outcome = _outcome(change[1], model, folder)
        outcomes[outcome] = outcomes.get(outcome, 0) + 1

    check()
    # The property would hold of a digest that always changes, and of a model that never answers.
    assert min(outcomes["another digest"], outcomes["the same bits"]) > examples // 10, outcomes


def test_a_change_of_any_file_changes_the_digest_or_not_a_bit_of_an_answer(
    model: Path, tmp_path: Path
) -> None:
    _property(model, tmp_path / "changed", 50)


@pytest.mark.slow
def test_many_changes_of_any_file_change_the_digest_or_not_a_bit(
    model: Path, tmp_path: Path
) -> None:
    _property(model, tmp_path / "changed", 600)


# --- by rule: what is shown is what counts ------------------------------------------------------


def test_a_library_is_shown_what_the_digest_covers_and_nothing_else(
    model: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(model, tmp_path / "full"))
    for name in ADDED_NAMES:
        if not name.startswith("adapter") and name not in ("model.safetensors", "model.gguf"):
            _added(folder, name, "{}" if name.endswith(".json") else "x", ())
    with shown_model(folder) as weights, shown_tokenizer(folder, folder) as tokenizer:
        shown = {*_files(weights), *_files(tokenizer)}
    before = digest(folder)
    for name in _files(folder):
        path = folder / name
        content = path.read_bytes()
        path.write_bytes(_other(name, content))
        assert (digest(folder) != before) == (name in shown), name
        path.write_bytes(content)
    assert {"config.json", "tokenizer.json", "additional_chat_templates/tool_use.jinja"} <= shown
    assert not {"stray.safetensors", "modeling_own.py", "README.md"} & shown


def _other(name: str, content: bytes) -> bytes:
    """Other content of the same kind; of an index the one thing that is read beside its shards."""
    if name.endswith(".safetensors") and len(content) > 8:
        return content[:-1] + bytes([content[-1] ^ 1])
    if name.endswith(".index.json"):
        index = json.loads(content)
        first = min(index["weight_map"].values())
        index["weight_map"] = dict.fromkeys(index["weight_map"], first)
        return json.dumps(index).encode()
    if name.endswith(".json"):
        return json.dumps(json.loads(content) | {"one more key": 1}).encode()
    return content + b" "


@pytest.mark.parametrize(
    "key",
    ["tokenizer_class", "add_bos_token", "bos_token", "model_max_length", "clean_up_spaces"],
)
def test_a_key_of_the_tokenizers_configuration_counts(
    key: str, model: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(model, tmp_path / "t"))
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: "x"}))
    assert digest(folder) != digest(model)


def test_a_token_counts_whatever_word_it_is(model: Path, tmp_path: Path) -> None:
    # GPT-2 has tokens "padding" and "revision", whose names are keys of other files.
    digests = set()
    for number in (5, 6):
        folder = Path(shutil.copytree(model, tmp_path / str(number)))
        (folder / "vocab.json").write_text(json.dumps({"padding": number, "revision": 1}))
        digests.add(digest(folder))
    assert len(digests) == 2


def test_every_file_that_a_tokenizer_of_transformers_reads_is_one_of_a_tokenizer(
    tmp_path: Path,
) -> None:
    import transformers
    from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

    names: set[str] = set()
    for class_name in {name for name in TOKENIZER_MAPPING_NAMES.values() if name}:
        try:
            kind = getattr(transformers, class_name)
            names |= {n for n in kind.vocab_files_names.values() if isinstance(n, str)}
        except (AttributeError, ImportError):
            continue  # its own package is not installed, so nothing here could load it
    assert {"tokenizer.json", "vocab.json", "spiece.model"} <= names
    for name in names:
        (tmp_path / name).write_bytes(b"{}")
    assert {file.name for file in tokenizer_files(tmp_path)} == names, TOKENIZER_FILES


def test_gguf_weights_are_shown_alone(tmp_path: Path) -> None:
    # Beside them transformers reads neither other weights nor generation_config.json.
    for name in ("model.gguf", "other.gguf", "config.json", "generation_config.json", "x.py"):
        (tmp_path / name).write_text("{}")
    with shown_model(tmp_path, "model.gguf") as shown:
        assert _files(shown) == ("config.json", "model.gguf")


def test_a_candidate_gets_every_chat_template_of_its_start(tmp_path: Path) -> None:
    for name in ("tokenizer.json", "chat_template.jinja", "additional_chat_templates/rag.jinja"):
        _added(tmp_path / "start", name, "{}", ())
    (tmp_path / "candidate").mkdir()
    copy_tokenizer(tmp_path / "start", tmp_path / "candidate")
    assert _files(tmp_path / "candidate") == _files(tmp_path / "start")


# --- weights ------------------------------------------------------------------------------------


def whole(model: Path, folder: Path) -> Path:
    """The same model in one file."""
    from transformers import AutoModelForCausalLM

    shutil.copytree(model, folder)
    for file in (*folder.glob("*.safetensors"), folder / "model.safetensors.index.json"):
        file.unlink()
    AutoModelForCausalLM.from_pretrained(model).save_pretrained(folder)
    return folder


def test_stray_weights_are_named_and_count_neither_in_digest_nor_in_size(
    model: Path, tmp_path: Path
) -> None:
    folder = whole(model, tmp_path / "whole")
    before = open_base(str(folder)).manifest
    shutil.copyfile(folder / "model.safetensors", folder / "consolidated.safetensors")
    (folder / "pytorch_model.bin").write_bytes(b"pickled")
    after = open_base(str(folder)).manifest
    assert (after.digest, after.size_bytes) == (before.digest, before.size_bytes)
    assert after.size_bytes == (folder / "model.safetensors").stat().st_size
    assert after.notes == ("not read: consolidated.safetensors, pytorch_model.bin",)
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


# --- adapters -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
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


def test_a_change_of_an_adapters_folder_changes_the_digest_or_not_a_bit(
    saved_adapter: Path, tmp_path: Path
) -> None:
    _property(saved_adapter, tmp_path / "changed", 30)


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
        assert _files(shown) == ("adapter_config.json", "adapter_model.safetensors")


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


# --- manifests of earlier versions --------------------------------------------------------------


def test_a_manifest_without_generation_settings_opens_by_those_that_lie_there(
    model: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(model, tmp_path / "old"))
    manifest = open_base(str(folder)).manifest
    content = manifest.model_dump(mode="json")
    del content["digests"]["generation"]
    # As every version before wrote it: the digest of the four parts that counted.
    content["digest"] = digest_json(content["digests"])
    (folder / "manifest.json").write_text(json.dumps(content))
    assert open_base(str(folder)).manifest.digest == manifest.digest
    (folder / "generation_config.json").write_text('{"repetition_penalty": 3.0}')
    assert open_base(str(folder)).manifest.digest != manifest.digest


def test_a_manifest_whose_digest_is_another_models_is_refused(model: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(model, tmp_path / "renamed"))
    manifest = open_base(str(folder)).manifest.model_copy(update={"digest": "0" * 64})
    (folder / "manifest.json").write_text(manifest.model_dump_json())
    with pytest.raises(SteelyardError, match="digest: is not the digest of the digests below it"):
        open_base(str(folder))


def test_tensors_without_a_place_in_the_model_are_noted(model: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    folder = whole(model, tmp_path / "m")
    tensors = load_file(folder / "model.safetensors") | {"value_head.weight": torch.ones(2)}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (note,) = load_model_folder(folder).notes
    assert note == "1 tensors of its weights have no place in it, such as value_head.weight"


def test_generation_settings_that_changed_under_their_manifest_are_named(
    model: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(model, tmp_path / "new"))
    (folder / "manifest.json").write_text(open_base(str(folder)).manifest.model_dump_json())
    (folder / "generation_config.json").write_text('{"repetition_penalty": 3.0}')
    with pytest.raises(SteelyardError, match=r"generation settings \(generation_config.json\) ch"):
        open_base(str(folder))


# --- one way in ---------------------------------------------------------------------------------

#: What may be read without a checkpoint's digests: judges that a task names by their hub id.
_OF_A_HUB = {"tasks/metrics/judged.py"}


def test_tokenizers_and_adapters_are_opened_by_the_checkpoints_room_alone() -> None:
    root = Path(__file__).parents[3]
    calls = ("AutoTokenizer.from_pretrained", "PeftModel.from_pretrained")
    strangers = {
        path.relative_to(root).as_posix()
        for room in ("harness", "trainers", "tasks", "reports", "steelyard")
        for path in (root / room).rglob("*.py")
        if any(call in path.read_text() for call in calls)
        and "shown_adapter" not in path.read_text()
        and (root / "harness" / "checkpoints") not in path.parents
    }
    assert strangers == _OF_A_HUB
