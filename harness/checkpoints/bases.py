"""The folder of weights that a name or an adapter leads to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from steelyard.harness.checkpoints.digests import weights_digest as digest_of_weights
from steelyard.harness.checkpoints.folder import (
    ADAPTER_CONFIG,
    TOKENIZER_FILES,
    has_weights,
    only_gguf,
)
from steelyard.harness.checkpoints.own_files import is_own_file
from steelyard.harness.errors import CheckpointError, did_you_mean
from steelyard.harness.files import read_json_object
from steelyard.harness.plugins import load_plugin, plugin_names

MANIFEST = "manifest.json"
#: Where an adapter finds its base again after the workspace has moved.
BASE_LINK = "base.json"
#: What is fetched of a model on the hub: never a pickle.
_FETCHED = ("*.safetensors", "*.json", "*.jinja", *TOKENIZER_FILES)


def base_of_adapter(folder: Path, *, weights_digest: str | None = None) -> Path:
    """The folder of the weights that an adapter stands on.

    A base of the same workspace is found by its relative path, also after the workspace has moved;
    any other base by its absolute path. ``weights_digest`` passes by checkpoints of ours whose
    manifest states other weights.

    Raises:
        CheckpointError: neither our link nor ``adapter_config.json`` leads to weights; or, in a
            folder of which nobody says which weights it stands on, they lead to two bases.
    """
    config = read_json_object(folder / ADAPTER_CONFIG, CheckpointError)
    named = _text_under(config, ADAPTER_BASE)
    places = [p for p in _places(folder, named) if _is_folder(p) and has_weights(p)]
    if weights_digest is None and len({place.resolve() for place in places}) > 1:
        _require_one_base(folder, named, places)
    for place in places:
        stated = _stated_weights(place)
        if None in (stated, weights_digest) or stated == weights_digest:
            return place.resolve()
    if named and not Path(named).is_absolute():
        return registered_or_downloaded(named, _text_under(config, "revision") or None)
    fix = "move the base back, or train the adapter again"
    raise CheckpointError("the base of this adapter is gone", file=folder, value=named, fix=fix)


def _require_one_base(folder: Path, named: str, places: Sequence[Path]) -> None:
    """Refuse a link of ours that leads to another base than PEFT would take."""
    if len({digest_of_weights(place, only_gguf(place)) for place in places}) > 1:
        raise CheckpointError(
            f"leads to another base than {ADAPTER_CONFIG}",
            file=folder / BASE_LINK,
            value=named,
            fix=f"remove {BASE_LINK}, or correct {ADAPTER_BASE} in {ADAPTER_CONFIG}",
        )


#: Where PEFT writes what an adapter stands on.
ADAPTER_BASE = "base_model_name_or_path"


def _places(folder: Path, named: str) -> Iterator[Path]:
    """Where an adapter's base may lie, the likeliest first."""
    if is_own_file(folder, BASE_LINK):
        link = read_json_object(folder / BASE_LINK, CheckpointError)
        yield from (
            folder / way for key in ("relative", "absolute") if (way := _text_under(link, key))
        )
    if named:
        yield from (folder / named, Path(named))


def _text_under(content: Mapping[str, object], key: str) -> str:
    """The text under a key; empty where it is missing or is none."""
    value = content.get(key)
    return value if isinstance(value, str) else ""


def _is_folder(place: Path) -> bool:
    try:
        return place.is_dir()
    except (OSError, ValueError):  # a name that no system allows
        return False


def _stated_weights(folder: Path) -> str | None:
    """The weights digest that a checkpoint folder's manifest states, or None."""
    try:
        if not is_own_file(folder, MANIFEST):
            return None
        return str(json.loads((folder / MANIFEST).read_bytes())["digests"]["weights"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def model_folder(name: str) -> Path:
    """The folder that a path or a hub id names. Raises ``CheckpointError``."""
    return Path(name) if Path(name).is_dir() else registered_or_downloaded(name)


def registered_or_downloaded(name: str, revision: str | None = None) -> Path:
    """The folder of a registered base or of a model on the hub. Raises ``CheckpointError``.

    ``revision`` is the hub's branch, tag or commit; None its newest.
    """
    if name in plugin_names("bases"):
        return Path(load_plugin("bases", name)())
    if name.startswith((".", "/", "~")) or name.count("/") != 1:
        fix = f"name a model folder, a .gguf file or a hub id; {_near(name)}"
        raise CheckpointError("no such model", value=name, fix=fix)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    fetch = partial(snapshot_download, name, revision=revision, allow_patterns=_FETCHED)
    with suppress(OSError, ValueError, CheckpointError):
        cached = Path(fetch(local_files_only=True))
        # Another program may have fetched its tokenizer alone, or been stopped between two shards.
        if has_weights(cached):
            return cached
    try:
        return Path(fetch())
    except (OSError, ValueError, HFValidationError) as error:
        problem = "not in the local cache and the hub cannot be reached"
        fix = f"check the name, download it first (hf download {name}), or name a folder"
        value = name if revision is None else f"{name} at {revision}"
        raise CheckpointError(problem, value=value, fix=fix) from error


def _near(name: str) -> str:
    path = Path(name).expanduser()
    beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
    return did_you_mean(path.name, [*beside[:500], *plugin_names("bases")])
