"""A library is shown what the digest covers; a manifest says no more than lies in its folder."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from steelyard.harness.checkpoints import open_base
from steelyard.harness.checkpoints.folder import TOKENIZER_FILES, tokenizer_files
from steelyard.harness.checkpoints.shown import shown_model, shown_tokenizer
from steelyard.harness.checkpoints.writing import copy_tokenizer
from steelyard.harness.errors import SteelyardError
from steelyard.harness.files import digest_json
from tests.harness.checkpoints.hub_folders import ADDED_NAMES, add_file, digest, files

# --- by rule: what is shown is what counts ------------------------------------------------------


def test_a_library_is_shown_what_the_digest_covers_and_nothing_else(
    model: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(model, tmp_path / "full"))
    for name in ADDED_NAMES:
        if not name.startswith("adapter") and name not in ("model.safetensors", "model.gguf"):
            add_file(folder, name, "{}" if name.endswith(".json") else "x", ())
    with shown_model(folder) as weights, shown_tokenizer(folder, folder) as tokenizer:
        shown = {*files(weights), *files(tokenizer)}
    before = digest(folder)
    for name in files(folder):
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
        assert files(shown) == ("config.json", "model.gguf")


def test_a_candidate_gets_every_chat_template_of_its_start(tmp_path: Path) -> None:
    for name in ("tokenizer.json", "chat_template.jinja", "additional_chat_templates/rag.jinja"):
        add_file(tmp_path / "start", name, "{}", ())
    (tmp_path / "candidate").mkdir()
    copy_tokenizer(tmp_path / "start", tmp_path / "candidate")
    assert files(tmp_path / "candidate") == files(tmp_path / "start")


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


def test_generation_settings_that_changed_under_their_manifest_are_named(
    model: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(model, tmp_path / "new"))
    (folder / "manifest.json").write_text(open_base(str(folder)).manifest.model_dump_json())
    (folder / "generation_config.json").write_text('{"repetition_penalty": 3.0}')
    with pytest.raises(SteelyardError, match=r"generation settings \(generation_config.json\) ch"):
        open_base(str(folder))


# --- one way in ---------------------------------------------------------------------------------


def test_tokenizers_and_adapters_are_opened_by_the_checkpoints_room_alone() -> None:
    root = Path(__file__).parents[3]
    # What runs in llmcompressor's own environment imports nothing of ours, and reads what we wrote.
    elsewhere = root / "trainers" / "weights" / "calibrated_script.py"
    strangers = {
        path.relative_to(root).as_posix()
        for room in ("harness", "trainers", "tasks", "reports", "steelyard")
        for path in (root / room).rglob("*.py")
        if re.search(r"\bfrom_pretrained\(|\.load_adapter\(|torch\.load\(", path.read_text())
        and (root / "harness" / "checkpoints") not in path.parents
        and path != elsewhere
    }
    assert not strangers
