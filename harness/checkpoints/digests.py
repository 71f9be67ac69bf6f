"""Digests of what is read of a model folder: weights, adapter, tokenizer, templates, defaults.

Which files are read stands in ``folder``. Every digest is SHA-256 in hex over content, never over a
path, a time or a library version, so a checkpoint keeps its name when a folder moves, when weights
are sharded another way, or when the library that wrote them is updated. Safetensors are read by
their published layout (8 bytes of header length, a JSON header, then the tensors), so no torch is
needed here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from steelyard.harness.checkpoints.folder import (
    ADAPTER_CONFIG,
    CONFIG,
    GENERATION_CONFIG,
    TOKENIZER_CONFIG,
    adapter_files,
    chat_template_files,
    index_file,
    names_python,
    python_files,
    tokenizer_files,
    tokenizer_folder,
    weight_files,
)
from steelyard.harness.checkpoints.own_files import is_own_file
from steelyard.harness.errors import CheckpointError, located
from steelyard.harness.files import digest_json, file_digest, read_json_object
from steelyard.harness.records import Digests

#: Keys of configurations that say who wrote them, where they lay and how they were read.
_WRITER_KEYS = frozenset(
    {"_name_or_path", "name_or_path", "transformers_version", "peft_version", "auto_mapping",
     "base_model_name_or_path", "revision", "inference_mode", "use_cache", "is_local",
     "local_files_only"}
)  # fmt: skip

_CHUNK_BYTES = 1 << 22


def weights_digest(folder: Path, gguf_file: str | None = None) -> str:
    """Digest of a model's weights and of the configuration that says how they compute.

    Tensors count by name, dtype, shape and bytes in the order of their names, whatever the
    sharding. A GGUF file counts as a file.

    Raises:
        CheckpointError: there are no weights, or a file is not what its name says.
    """
    config = _without_writer(_read_json(folder / CONFIG))
    if gguf_file is not None:
        return digest_json({"gguf": file_digest(folder / gguf_file), "config": config})
    files = weight_files(folder)
    if not files:
        raise CheckpointError("the folder has no model weights", file=folder)
    content: dict[str, object] = {"tensors": _tensors_digest(files), "config": config}
    # These are missing from almost every folder, and so from its digest.
    if "quantization_config" in config and (metadata := _metadata(files)):
        content["metadata"] = metadata
    if config.get("dtype", config.get("torch_dtype")) is None and (dtype := _index_dtype(folder)):
        content["index dtype"] = dtype
    if names_python(folder, CONFIG) and (python := python_digest(folder)):
        content["python"] = python
    return digest_json(content)


def python_digest(folder: Path) -> str | None:
    """Digest of the Python beside a model or tokenizer, by file names; None where there is none."""
    files = python_files(folder)
    return digest_json({file.name: file_digest(file) for file in files}) if files else None


def generation_digest(folder: Path, gguf_file: str | None = None) -> str | None:
    """Digest of the settings that ``generate`` takes where a request says nothing.

    None where the folder states none (they follow from its configuration), and for GGUF weights,
    beside which transformers does not read them.
    """
    path = folder / GENERATION_CONFIG
    if gguf_file is not None or not is_own_file(folder, GENERATION_CONFIG):
        return None
    return digest_json(_without_writer(_read_json(path)))


def checkpoint_digest(digests: Digests) -> str:
    """Digest of everything that can change an answer: the one name of a checkpoint."""
    parts = digests.model_dump()
    if digests.generation is None:
        # So it was before generation settings counted, and what has none keeps its name.
        del parts["generation"]
    return digest_json(parts)


def likelihood_digest(digests: Digests) -> str:
    """Digest of what can change a log-likelihood: all but the settings of generation."""
    return checkpoint_digest(digests.model_copy(update={"generation": None}))


def adapter_digest(folder: Path) -> str:
    """Digest of a PEFT adapter: its tensors and its configuration, not the base it was put on."""
    config = _without_writer(_read_json(folder / ADAPTER_CONFIG))
    files = adapter_files(folder)
    if not files:
        raise CheckpointError("the folder has no adapter weights", file=folder)
    return digest_json({"tensors": _tensors_digest(files), "config": config})


def tokenizer_digest(folder: Path) -> str:
    """Digest of the tokenizer's files, without the chat template.

    How a batch was last padded or cut is written into ``tokenizer.json`` too, and is left out where
    the configuration says how to pad.
    """
    tokenizer_folder(folder)  # raises where there is none
    content: dict[str, object] = {}
    for path in tokenizer_files(folder):
        if path.suffix != ".json":
            content[path.name] = file_digest(path)
            continue
        value = _read_json(path)
        for key in _PASSED_OVER.get(path.name, ()):
            value.pop(key, None)
        content[path.name] = value
    if names_python(folder, TOKENIZER_CONFIG) and (python := python_digest(folder)):
        content["python"] = python
    return digest_json(content | _padding_and_repair(folder))


#: Keys of a tokenizer's files that change no token: they say how a batch was last padded or cut, or
#: who wrote the file. The chat template has a digest of its own.
_PASSED_OVER = {
    "tokenizer.json": ("padding", "truncation"),
    "tokenizer_config.json": ("chat_template", *_WRITER_KEYS),
    "special_tokens_map.json": tuple(_WRITER_KEYS),
}


def _padding_and_repair(folder: Path) -> dict[str, object]:
    """What transformers takes from where one would not look for it.

    The padding of ``tokenizer.json`` gives the padding token where the configuration names none,
    and the version in ``config.json`` decides whether ``fix_mistral_regex`` changes anything.
    """
    config = _read_json(folder / "tokenizer_config.json")
    special = _read_json(folder / "special_tokens_map.json")
    content: dict[str, object] = {}
    if "pad_token" not in config and "pad_token" not in special:
        padding = _read_json(folder / "tokenizer.json").get("padding")
        if isinstance(padding, dict):
            content["padding token"] = [padding.get("pad_token"), padding.get("pad_id")]
    if config.get("fix_mistral_regex"):
        content["written by"] = _read_json(folder / CONFIG).get("transformers_version")
    return content


def chat_template_digest(folder: Path) -> str | None:
    """Digest of the chat template; None where the tokenizer has none.

    Templates in files of their own stand in for what the tokenizer's configuration holds; several
    count with their names.
    """
    files = chat_template_files(folder)
    if set(files) == {"default"}:
        return hashlib.sha256(files["default"].read_bytes()).hexdigest()
    if files:
        return digest_json({name: file_digest(file) for name, file in files.items()})
    template = _read_json(folder / "tokenizer_config.json").get("chat_template")
    if template is None:
        return None
    text = template if isinstance(template, str) else json.dumps(template, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def stored_as_integers(folder: Path) -> set[str]:
    """Names of the tensors that a model's safetensors store as integers or truth values."""
    tensors = (entry for file in weight_files(folder) for entry in _tensors(file))
    return {name for name, (dtype, *_) in tensors if dtype.startswith(("I", "U", "BOOL"))}


def _tensors_digest(files: list[Path]) -> str:
    where: dict[str, tuple[Path, tuple[str, list[int], int, int]]] = {}
    for file in files:
        for name, entry in _tensors(file):
            if name in where:
                fix = "remove one of them, and write the index again"
                twice = f"holds a tensor that {where[name][0].name} holds too"
                raise CheckpointError(twice, file=file, value=name, fix=fix)
            where[name] = file, entry
    digest = hashlib.sha256()
    for name in sorted(where):
        file, (dtype, shape, start, end) = where[name]
        digest.update(json.dumps([name, dtype, shape, end - start]).encode())
        with file.open("rb") as source:
            source.seek(start)
            left = end - start
            while left and (chunk := source.read(min(left, _CHUNK_BYTES))):
                digest.update(chunk)
                left -= len(chunk)
        if left:
            raise CheckpointError("the file is cut short", file=file, fix="copy it again")
    return digest.hexdigest()


def _tensors(file: Path) -> Iterator[tuple[str, tuple[str, list[int], int, int]]]:
    """Name, dtype, shape and absolute byte range of every tensor of a safetensors file."""
    header, begin = _header(file)
    for name, entry in header.items():
        if name != "__metadata__":
            with located(file=file):
                dtype, shape, start, end = _tensor(entry, file.stat().st_size)
            yield name, (dtype, shape, begin + start, begin + end)


def tensor_shapes(files: list[Path]) -> list[list[int]]:
    """The shape of every tensor in these safetensors files, from their headers."""
    return [shape for file in files for _, (_, shape, _, _) in _tensors(file)]


def _metadata(files: list[Path]) -> dict[str, object]:
    """What the files say of themselves, from which torchao builds its tensors again."""
    metadata: dict[str, object] = {}
    for file in files:
        own = _header(file)[0].get("__metadata__")
        metadata |= own if isinstance(own, dict) else {}
    metadata.pop("format", None)
    return metadata


def _index_dtype(folder: Path) -> object:
    """The dtype that the index states, which ``dtype="auto"`` takes where the configuration has
    none."""
    index = index_file(folder)
    metadata = None if index is None else _read_json(index).get("metadata")
    return metadata.get("dtype") if isinstance(metadata, dict) else None


def _header(file: Path) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file, and where its tensors begin."""
    with file.open("rb") as source:
        length = int.from_bytes(source.read(8), "little")
        if length > file.stat().st_size:
            raise CheckpointError("not a safetensors file", file=file, fix="copy it again")
        try:
            header = json.loads(source.read(length))
        except (ValueError, RecursionError) as error:
            raise CheckpointError("not a safetensors file", file=file) from error
    return header if isinstance(header, dict) else {"": header}, 8 + length


def _tensor(entry: Any, file_bytes: int) -> tuple[str, list[int], int, int]:
    """Dtype, shape and byte range of one entry of a header, which may hold anything."""
    try:
        dtype, shape, (start, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        whole = all(type(number) is int for number in (start, end, *shape))
        if whole and isinstance(dtype, str) and 0 <= start <= end <= file_bytes:
            return dtype, list(shape), start, end
    except (LookupError, TypeError, ValueError):
        pass
    raise CheckpointError("not a safetensors file: a tensor lacks its place")


def _read_json(path: Path) -> dict[str, Any]:
    if not is_own_file(path.parent, path.name):
        return {}
    return read_json_object(path, CheckpointError, fix="copy it again", non_finite=False)


def _without_writer(config: dict[str, Any]) -> dict[str, object]:
    """The configuration without who wrote it; PEFT writes sets as lists in no fixed order."""
    own = {key: value for key, value in config.items() if key not in _WRITER_KEYS}
    for key in ("target_modules", "modules_to_save", "exclude_modules"):
        if isinstance(own.get(key), list):
            own[key] = sorted(own[key], key=str)
    return own
