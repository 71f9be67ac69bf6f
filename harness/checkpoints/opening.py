"""Opens a base by its name, and a checkpoint that Steelyard wrote by its folder.

Nothing here reads weights into memory and nothing is run: weights are safetensors or GGUF, and a
folder of pickles is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from steelyard.harness.checkpoints.bases import (
    MANIFEST,
    base_of_adapter,
    registered_or_downloaded,
)
from steelyard.harness.checkpoints.digests import (
    adapter_digest,
    chat_template_digest,
    checkpoint_digest,
    generation_digest,
    tokenizer_digest,
    weights_digest,
)
from steelyard.harness.checkpoints.folder import (
    CONFIG,
    is_adapter,
    model_config,
    only_gguf,
    require_safetensors,
    size_bytes,
    stray_note,
    tokenizer_folder,
)
from steelyard.harness.checkpoints.own_files import is_own_file, refuse_links_out
from steelyard.harness.errors import CheckpointError, located
from steelyard.harness.files import limited_bytes
from steelyard.harness.files.version_1 import manifest_in
from steelyard.harness.plugins import plugin_names
from steelyard.harness.records import Checkpoint, CheckpointManifest, Digests


def open_base(name: str, *, resolve: Callable[[str], Path] | None = None) -> Checkpoint:
    """Open the model that an experiment starts from.

    Args:
        name: a registered base (``microworld``; a folder of that name is ``./microworld``), a model
            folder (full weights, an adapter, or one GGUF file with its tokenizer), a ``.gguf``
            file, or a hub id.
        resolve: turns a relative path of the experiment file into a folder; None takes the
            working directory.

    What a manifest in the folder says of it (its energy, its accuracy, what was checked) is not
    taken over: whoever made the folder could have written it. Its digests must be right.

    Raises:
        CheckpointError: it is not there, has no weights or only pickled ones, lacks its tokenizer
            or config.json, or holds a manifest of something else.
    """
    path = (resolve or Path)(name)
    if name in plugin_names("bases") or not path.exists():
        path = registered_or_downloaded(name)
    gguf_file = None
    if path.suffix == ".gguf" and path.is_file():
        path, gguf_file = path.parent, path.name
    if not path.is_dir():
        fix = "name a model folder, a .gguf file or a hub id"
        raise CheckpointError("not a model folder", file=path, fix=fix)
    path = path.resolve()
    opened = describe(path, name=name, gguf_file=gguf_file)
    if is_own_file(path, MANIFEST):
        # A user's folder: other weights may have been put under the manifest of the old ones.
        _require_stated(path, _stated(path), opened.manifest.digests)
    return opened


def open_checkpoint(folder: Path, *, verify: bool = False) -> Checkpoint:
    """Open a checkpoint folder that Steelyard wrote.

    Raises:
        CheckpointError: the manifest is missing or wrong, the base of an adapter is gone, or,
            with ``verify``, the content is no longer what the manifest says.
        NewerVersionError: a newer Steelyard wrote it.
    """
    manifest = _stated(folder)
    adapter = folder if manifest.format == "adapter" else None
    weights = folder
    if adapter is not None:
        weights = base_of_adapter(folder, weights_digest=manifest.digests.weights)
    checkpoint = Checkpoint(folder, manifest, weights, adapter, only_gguf(weights))
    if verify:
        _verify(checkpoint)
    return checkpoint


def _stated(folder: Path) -> CheckpointManifest:
    """The manifest in a folder, as it stands there. Raises ``CheckpointError``."""
    file = folder / MANIFEST
    try:
        with located(file=file):
            return manifest_in(limited_bytes(file, CheckpointError))
    except FileNotFoundError as error:
        fix = "name a folder that steelyard wrote, or take a model in with 'trainer: none'"
        raise CheckpointError(f"no {MANIFEST} there", file=folder, fix=fix) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CheckpointError(first["msg"], file=file, key=where) from error


def describe(
    folder: Path, *, name: str, gguf_file: str | None = None, candidate: str = "base"
) -> Checkpoint:
    """A checkpoint for a model folder that somebody else made; nothing is written."""
    refuse_links_out(folder)
    adapter = folder if is_adapter(folder) else None
    weights = folder if adapter is None else base_of_adapter(folder)
    refuse_links_out(weights)
    gguf_file = gguf_file or only_gguf(weights)
    if adapter is not None:
        require_safetensors(adapter, "adapter")
        if is_adapter(weights):
            fix = "merge that adapter into its base first (a candidate with trainer: merge)"
            raise CheckpointError("its base is an adapter too", file=folder, value=name, fix=fix)
    if gguf_file is None:
        require_safetensors(weights, "model")
    if not is_own_file(weights, CONFIG) and gguf_file is None:
        fix = "copy config.json from the model's page beside the weights"
        raise CheckpointError("the folder has no config.json", file=weights, fix=fix)
    tokenizer = tokenizer_folder(folder, weights)
    digests = Digests(
        weights=weights_digest(weights, gguf_file),
        adapter=adapter_digest(adapter) if adapter else None,
        tokenizer=tokenizer_digest(tokenizer),
        chat_template=chat_template_digest(tokenizer),
        generation=generation_digest(weights, gguf_file),
    )
    manifest = CheckpointManifest(
        digest=checkpoint_digest(digests),
        digests=digests,
        format=_format(weights, adapter, gguf_file),
        candidate=candidate,
        base=name,
        trainer="none",
        size_bytes=size_bytes(folder, gguf_file),
        dtype=_dtype(weights, gguf_file),
        notes=stray_note(folder, gguf_file),
        created_at=now(),
    )
    return Checkpoint(folder, manifest, weights, adapter, gguf_file)


def now() -> str:
    """The time in UTC, ISO 8601, whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _format(
    weights: Path, adapter: Path | None, gguf_file: str | None
) -> Literal["full", "adapter", "quantised", "gguf"]:
    if adapter is not None:
        return "adapter"
    if gguf_file is not None:
        return "gguf"
    return "quantised" if "quantization_config" in model_config(weights) else "full"


def is_reward_model(checkpoint: Checkpoint) -> bool:
    """Whether the checkpoint gives a number for a text instead of text."""
    if checkpoint.gguf_file is not None:
        return False
    architectures = model_config(checkpoint.weights_folder).get("architectures")
    names = architectures if isinstance(architectures, list) else []
    return any(str(name).endswith("ForSequenceClassification") for name in names)


def _dtype(folder: Path, gguf_file: str | None) -> str:
    if gguf_file is not None:
        return "gguf"
    config = model_config(folder)
    return str(config.get("dtype") or config.get("torch_dtype") or "float32")


#: The parts of a checkpoint, as they are named to people.
_PARTS = {
    "weights": "weights",
    "adapter": "adapter",
    "tokenizer": "tokenizer",
    "chat_template": "chat template",
    "generation": "generation settings (generation_config.json)",
}


def _verify(checkpoint: Checkpoint) -> None:
    folder, weights = checkpoint.folder, checkpoint.weights_folder
    present = Digests(
        weights=weights_digest(weights, checkpoint.gguf_file),
        adapter=adapter_digest(folder) if checkpoint.adapter_folder else None,
        tokenizer=tokenizer_digest(tokenizer_folder(folder)),
        chat_template=chat_template_digest(folder),
        generation=generation_digest(weights, checkpoint.gguf_file),
    )
    _require_stated(folder, checkpoint.manifest, present)


def _require_stated(folder: Path, manifest: CheckpointManifest, present: Digests) -> None:
    """Raise ``CheckpointError`` where a manifest states other digests than the content has."""
    if manifest.digest != checkpoint_digest(manifest.digests):
        fix = "remove the manifest to name a new model"
        raise CheckpointError(
            "is not the digest of the digests below it",
            file=folder / MANIFEST,
            key="digest",
            value=manifest.digest,
            fix=fix,
        )
    expected = manifest.digests.model_dump()
    for part, digest in present.model_dump().items():
        if part == "generation" and expected[part] is None:
            continue  # a manifest of an earlier version says nothing of it
        if digest != expected[part]:
            raise CheckpointError(
                f"the {_PARTS[part]} changed since the manifest was written",
                file=folder,
                fix="delete the folder and run again, or remove its manifest to name a new model",
            )
