"""Opens a base by its name, and a checkpoint that Steelyard wrote by its folder.

Nothing here reads weights into memory and nothing is run: weights are safetensors or GGUF, and a
folder of pickles is refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from steelyard.harness.checkpoints.digests import (
    TOKENIZER_FILES,
    adapter_digest,
    chat_template_digest,
    tokenizer_digest,
    weights_digest,
)
from steelyard.harness.errors import CheckpointError, did_you_mean
from steelyard.harness.files.digests import digest_json
from steelyard.harness.files.json_file import limited_bytes, read_json_object
from steelyard.harness.files.version_1 import manifest_in
from steelyard.harness.plugins.names import load_plugin, plugin_names
from steelyard.harness.records import Checkpoint, CheckpointManifest, Digests

MANIFEST = "manifest.json"
#: Where an adapter finds its base again after the workspace has moved.
BASE_LINK = "base.json"
#: Under this name a float32 copy of GGUF weights keeps the digest of its own tensors.
FLOAT32_COPY = "digest of the float32 copy"


def open_base(name: str, *, resolve: Callable[[str], Path] | None = None) -> Checkpoint:
    """Open the model that an experiment starts from.

    Args:
        name: a registered base (``microworld``; a folder of that name is ``./microworld``), a model
            folder (full weights, an adapter, or one GGUF file with its tokenizer), a ``.gguf``
            file, or a hub id.
        resolve: turns a relative path of the experiment file into a folder; None takes the
            working directory.

    Raises:
        CheckpointError: it is not there, has no weights or only pickled ones, or lacks its
            tokenizer or config.json.
    """
    path = (resolve or Path)(name)
    if name in plugin_names("bases") or not path.exists():
        path = _registered_or_downloaded(name)
    gguf_file = None
    if path.suffix == ".gguf" and path.is_file():
        path, gguf_file = path.parent, path.name
    if not path.is_dir():
        fix = "name a model folder, a .gguf file or a hub id"
        raise CheckpointError("not a model folder", file=path, fix=fix)
    path = path.resolve()
    if (path / MANIFEST).is_file():
        # A user's folder: other weights may have been put under the manifest of the old ones.
        return open_checkpoint(path, verify=True)
    return describe(path, name=name, gguf_file=gguf_file)


def open_checkpoint(folder: Path, *, verify: bool = False) -> Checkpoint:
    """Open a checkpoint folder that Steelyard wrote.

    Raises:
        CheckpointError: the manifest is missing or wrong, the base of an adapter is gone, or,
            with ``verify``, the content is no longer what the manifest says.
    """
    file = folder / MANIFEST
    try:
        manifest = manifest_in(limited_bytes(file, CheckpointError))
    except FileNotFoundError as error:
        fix = "name a folder that steelyard wrote, or take a model in with 'trainer: none'"
        raise CheckpointError(f"no {MANIFEST} there", file=folder, fix=fix) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CheckpointError(first["msg"], file=file, key=where) from error
    adapter = folder if manifest.format == "adapter" else None
    weights = folder
    if adapter is not None:
        weights = base_of_adapter(folder, weights_digest=manifest.digests.weights)
    checkpoint = Checkpoint(folder, manifest, weights, adapter, only_gguf(weights))
    if verify:
        _verify(checkpoint)
    return checkpoint


def describe(
    folder: Path, *, name: str, gguf_file: str | None = None, candidate: str = "base"
) -> Checkpoint:
    """A checkpoint for a model folder that somebody else made; nothing is written."""
    adapter = folder if (folder / "adapter_config.json").is_file() else None
    weights = folder if adapter is None else base_of_adapter(folder)
    gguf_file = gguf_file or only_gguf(weights)
    if adapter is not None:
        require_safetensors(adapter, "adapter")
    if gguf_file is None:
        require_safetensors(weights, "model")
    if not (weights / "config.json").is_file() and gguf_file is None:
        fix = "copy config.json from the model's page beside the weights"
        raise CheckpointError("the folder has no config.json", file=weights, fix=fix)
    tokenizer = tokenizer_folder(folder, weights)
    digests = Digests(
        weights=weights_digest(weights, gguf_file),
        adapter=adapter_digest(adapter) if adapter else None,
        tokenizer=tokenizer_digest(tokenizer),
        chat_template=chat_template_digest(tokenizer),
    )
    manifest = CheckpointManifest(
        digest=digest_json(digests.model_dump()),
        digests=digests,
        format=_format(weights, adapter, gguf_file),
        candidate=candidate,
        base=name,
        trainer="none",
        size_bytes=size_bytes(folder, gguf_file),
        dtype=_dtype(weights, gguf_file),
        created_at=now(),
    )
    return Checkpoint(folder, manifest, weights, adapter, gguf_file)


def base_of_adapter(folder: Path, *, weights_digest: str | None = None) -> Path:
    """The folder of the weights that an adapter stands on.

    A base of the same workspace is found by its relative path, also after the workspace has moved;
    any other base by its absolute path.

    Raises:
        CheckpointError: neither our link nor ``adapter_config.json`` leads to weights.
    """
    places: list[Path] = []
    if (folder / BASE_LINK).is_file():
        link = read_json_object(folder / BASE_LINK, CheckpointError)
        ways = (_text(link, "relative"), _text(link, "absolute"))
        places += [folder / way for way in ways if way]
    config = read_json_object(folder / "adapter_config.json", CheckpointError)
    named = _text(config, "base_model_name_or_path")
    if named:
        places += [folder / named, Path(named)]
    for place in places:
        if not _is_folder(place):
            continue
        stated = _weights_digest_of(place)
        if None not in (stated, weights_digest) and stated != weights_digest:
            continue
        if any(place.glob("*.safetensors")) or any(place.glob("*.gguf")):
            return place.resolve()
    if named and not Path(named).is_absolute():
        return _registered_or_downloaded(named)
    fix = "move the base back, or train the adapter again"
    raise CheckpointError("the base of this adapter is gone", file=folder, value=named, fix=fix)


def _text(content: Mapping[str, Any], key: str) -> str:
    """The text under a key; empty where it is missing or is none."""
    value = content.get(key)
    return value if isinstance(value, str) else ""


def _is_folder(place: Path) -> bool:
    try:
        return place.is_dir()
    except (OSError, ValueError):  # a name that no system allows
        return False


def _weights_digest_of(folder: Path) -> str | None:
    """The weights digest that a checkpoint folder's manifest states, or None."""
    try:
        return str(json.loads((folder / MANIFEST).read_bytes())["digests"]["weights"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def tokenizer_folder(*folders: Path) -> Path:
    """The first of ``folders`` that holds a tokenizer. Raises ``CheckpointError``."""
    for folder in folders:
        if any((folder / name).is_file() for name in TOKENIZER_FILES):
            return folder
    fix = "put tokenizer.json and tokenizer_config.json beside the weights"
    raise CheckpointError("the folder has no tokenizer", file=folders[0], fix=fix)


def require_safetensors(folder: Path, what: str) -> None:
    """Raise ``CheckpointError`` where ``folder`` has no weights, or only pickled ones."""
    if any(folder.glob("*.safetensors")):
        return
    pickles = [
        file.name
        for pattern in ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
        for file in sorted(folder.glob(pattern))
        if file.name != "training_args.bin"
    ]
    if pickles:
        raise CheckpointError(
            f"the {what} weights are pickled ({pickles[0]}), and a pickle can run code",
            file=folder,
            fix="save them again with safe_serialization=True (model.safetensors)",
        )
    fix = "a model folder holds *.safetensors or one *.gguf"
    raise CheckpointError(f"the folder has no {what} weights", file=folder, fix=fix)


def size_bytes(folder: Path, gguf_file: str | None = None) -> int:
    """Bytes of weights in ``folder``."""
    files = [folder / gguf_file] if gguf_file else folder.glob("*.safetensors")
    return sum(file.stat().st_size for file in files)


def now() -> str:
    """The time in UTC, ISO 8601, whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _registered_or_downloaded(name: str) -> Path:
    if name in plugin_names("bases"):
        return Path(load_plugin("bases", name)())
    if name.startswith((".", "/", "~")) or name.count("/") != 1:
        fix = f"name a model folder, a .gguf file or a hub id; {_near(name)}"
        raise CheckpointError("no such model", value=name, fix=fix)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    patterns = ["*.safetensors", "*.json", "*.model", "*.txt", "*.jinja"]
    try:
        return Path(snapshot_download(name, allow_patterns=patterns, local_files_only=True))
    except (OSError, ValueError):
        pass
    try:
        return Path(snapshot_download(name, allow_patterns=patterns))
    except (OSError, ValueError, HFValidationError) as error:
        why = "not in the local cache and the hub cannot be reached"
        fix = f"check the name, download it first (hf download {name}), or name a folder"
        raise CheckpointError(why, value=name, fix=fix) from error


def _near(name: str) -> str:
    path = Path(name).expanduser()
    beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    return did_you_mean(path.name, [*beside[:500], *plugin_names("bases")])


def only_gguf(folder: Path) -> str | None:
    """The name of the GGUF file that is a folder's weights, or None. Raises ``CheckpointError``."""
    files = sorted(file.name for file in folder.glob("*.gguf"))
    if not files or any(folder.glob("*.safetensors")):
        return None
    if len(files) > 1:
        fix = "name one of them: " + ", ".join(files[:4])
        raise CheckpointError("the folder holds several GGUF files", file=folder, fix=fix)
    return files[0]


def _format(
    weights: Path, adapter: Path | None, gguf_file: str | None
) -> Literal["full", "adapter", "quantised", "gguf"]:
    if adapter is not None:
        return "adapter"
    if gguf_file is not None:
        return "gguf"
    return "quantised" if "quantization_config" in _config(weights) else "full"


def is_reward_model(checkpoint: Checkpoint) -> bool:
    """Whether the checkpoint gives a number for a text instead of text."""
    if checkpoint.gguf_file is not None:
        return False
    architectures = _config(checkpoint.weights_folder).get("architectures")
    names = architectures if isinstance(architectures, list) else []
    return any(str(name).endswith("ForSequenceClassification") for name in names)


def _dtype(folder: Path, gguf_file: str | None) -> str:
    if gguf_file is not None:
        return "gguf"
    config = _config(folder)
    return str(config.get("dtype") or config.get("torch_dtype") or "float32")


def _config(folder: Path) -> dict[str, object]:
    fix = "copy config.json from the model's page beside the weights"
    return read_json_object(folder / "config.json", CheckpointError, fix=fix)


def _verify(checkpoint: Checkpoint) -> None:
    folder, manifest = checkpoint.folder, checkpoint.manifest
    weights = checkpoint.weights_folder
    expected = manifest.digests.model_dump()
    found = Digests(
        weights=weights_digest(weights, checkpoint.gguf_file),
        adapter=adapter_digest(folder) if checkpoint.adapter_folder else None,
        tokenizer=tokenizer_digest(tokenizer_folder(folder)),
        chat_template=chat_template_digest(folder),
    )
    # A float32 copy of a GGUF base goes by the GGUF's digest; its own is kept beside it.
    if (weights / MANIFEST).is_file():
        copy = manifest_in((weights / MANIFEST).read_bytes())
        expected["weights"] = copy.checks.get(FLOAT32_COPY, expected["weights"])
    for part, digest in found.model_dump().items():
        if digest != expected[part]:
            raise CheckpointError(
                f"the {part.replace('_', ' ')} changed since the manifest was written",
                file=folder,
                fix="delete the folder and run again, or remove its manifest to name a new model",
            )
