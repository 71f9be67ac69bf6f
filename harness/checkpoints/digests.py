"""Digests of what a model folder holds: weights, adapter, tokenizer, chat template.

Every digest is SHA-256 in hex over content, never over a path, a time or a library version, so a
checkpoint keeps its name when a folder moves, when weights are sharded another way, or when the
library that wrote them is updated. Safetensors are read by their published layout (8 bytes of
header length, a JSON header, then the tensors), so no torch is needed here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from steelyard.harness.checkpoints.folder import (
    ADAPTER_CONFIG,
    CHAT_TEMPLATE_FILE,
    CONFIG,
    TOKENIZER_FILES,
    adapter_files,
    tokenizer_folder,
    weight_files,
)
from steelyard.harness.errors import CheckpointError, located
from steelyard.harness.files import digest_json, file_digest, read_json_object

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
    return digest_json({"tensors": _tensors_digest(files), "config": config})


def adapter_digest(folder: Path) -> str:
    """Digest of a PEFT adapter: its tensors and its configuration, not the base it was put on."""
    config = _without_writer(_read_json(folder / ADAPTER_CONFIG))
    files = adapter_files(folder)
    if not files:
        raise CheckpointError("the folder has no adapter weights", file=folder)
    return digest_json({"tensors": _tensors_digest(files), "config": config})


def tokenizer_digest(folder: Path) -> str:
    """Digest of the tokenizer's files, without the chat template.

    How a batch was last padded or cut is written into ``tokenizer.json`` too, and is left out.
    """
    tokenizer_folder(folder)  # raises where there is none
    content: dict[str, object] = {}
    for name in TOKENIZER_FILES:
        path = folder / name
        if not path.is_file():
            continue
        if path.suffix != ".json":
            content[name] = file_digest(path)
            continue
        value = _read_json(path)
        for key in ("chat_template", "padding", "truncation", *_WRITER_KEYS):
            value.pop(key, None)
        content[name] = value
    return digest_json(content)


def chat_template_digest(folder: Path) -> str | None:
    """Digest of the chat template's text; None where the tokenizer has none."""
    path = folder / CHAT_TEMPLATE_FILE
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    template = _read_json(folder / "tokenizer_config.json").get("chat_template")
    if template is None:
        return None
    text = template if isinstance(template, str) else json.dumps(template, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _tensors_digest(files: list[Path]) -> str:
    where = {name: (file, entry) for file in files for name, entry in _tensors(file)}
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
    with file.open("rb") as source:
        length = int.from_bytes(source.read(8), "little")
        if length > file.stat().st_size:
            raise CheckpointError("not a safetensors file", file=file, fix="copy it again")
        try:
            header = json.loads(source.read(length))
        except (ValueError, RecursionError) as error:
            raise CheckpointError("not a safetensors file", file=file) from error
    entries = header.items() if isinstance(header, dict) else [("", header)]
    for name, entry in entries:
        if name != "__metadata__":
            with located(file=file):
                dtype, shape, start, end = _tensor(entry, file.stat().st_size)
            begin = 8 + length
            yield name, (dtype, shape, begin + start, begin + end)


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
    if not path.is_file():
        return {}
    return read_json_object(path, CheckpointError, fix="copy it again", non_finite=False)


def _without_writer(config: dict[str, Any]) -> dict[str, object]:
    """The configuration without who wrote it; PEFT writes sets as lists in no fixed order."""
    own = {key: value for key, value in config.items() if key not in _WRITER_KEYS}
    for key in ("target_modules", "modules_to_save", "exclude_modules"):
        if isinstance(own.get(key), list):
            own[key] = sorted(own[key], key=str)
    return own
