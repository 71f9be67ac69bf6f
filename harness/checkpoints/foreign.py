"""What a model's folder may not do: run Python of its own, or send a library elsewhere.

A configuration can name classes in Python files beside it, kernels and models on the hub, modules
to import and files anywhere. transformers and PEFT read what is named; a digest of the folder would
say nothing of it. So it is refused, by the key that says it. Python of the folder's own alone may
be trusted, by an option of the experiment that names its digest.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from steelyard.harness.checkpoints.digests import python_digest
from steelyard.harness.checkpoints.folder import (
    ADAPTER_CONFIG,
    AUTO_MAP,
    CONFIG,
    TOKENIZER_CONFIG,
    names_python,
)
from steelyard.harness.checkpoints.own_files import is_own_file
from steelyard.harness.errors import CheckpointError
from steelyard.harness.files import read_json_object

#: Keys of ``config.json`` under which a repository of the hub may stand, whose code is then run.
_KERNELS = (
    "attn_implementation",
    "_attn_implementation",
    "experts_implementation",
    "_experts_implementation",
)
#: Keys of ``adapter_config.json`` that name other models, modules or files (PEFT 0.21).
_LEADING_OUT = (
    "megatron_config",
    "adapters",
    "shadow_model",
    "prompt_tuning_init_state_dict_path",
    "covariance_file",
    "cache_file",
)
#: A shadow of the base itself.
_OWN_BASE = ("mirror",)
#: The digest of the one folder's Python that may run in this process: an experiment's option.
_trusted: list[str] = []


def trust_python(digest: str | None) -> None:
    """From here on the Python of a model's folder that has this digest runs; None: of none."""
    _trusted[:] = [] if digest is None else [digest]


def trusted_python() -> str | None:
    """The digest that :func:`trust_python` was told last."""
    return _trusted[0] if _trusted else None


def own_python(folder: Path) -> str | None:
    """The digest of a model's own Python where that is to run; None: transformers has its class.

    Raises:
        CheckpointError: its configuration needs Python that is not trusted, or code of the hub, by
            the key of ``config.json``.
    """
    if not is_own_file(folder, CONFIG):
        return None
    file = folder / CONFIG
    config = read_json_object(file, CheckpointError)
    for key, value in _pairs(config):
        if key in _KERNELS and "/" in str(value):
            raise CheckpointError(
                "names code on the hub", file=file, key=key, value=value, fix="remove the key"
            )
    if not config.get(AUTO_MAP):
        return None
    from transformers import CONFIG_MAPPING

    known = config.get("model_type") in CONFIG_MAPPING
    return _trusted_digest(file, config, known, "use a model that transformers has a class of")


def own_tokenizer_python(folder: Path) -> str | None:
    """As :func:`own_python`, of a tokenizer.

    Raises:
        CheckpointError: it needs Python that is not trusted: another tokenizer would be taken for
            it.
    """
    if not names_python(folder, TOKENIZER_CONFIG):
        return None
    from transformers.models.auto.tokenization_auto import tokenizer_class_from_name

    file = folder / TOKENIZER_CONFIG
    config = read_json_object(file, CheckpointError)
    name = str(config.get("tokenizer_class", "")).removesuffix("Fast")
    known = any(tokenizer_class_from_name(f"{name}{end}") for end in ("", "Fast"))
    return _trusted_digest(file, config, known, "use one that transformers has a class of")


def _trusted_digest(
    file: Path, config: Mapping[str, object], known: bool, otherwise: str
) -> str | None:
    """The digest of the Python beside ``file`` where it is trusted; None where it is not needed."""
    if "--" in json.dumps(config[AUTO_MAP]):
        fix = "name the files that lie in the folder"
        raise CheckpointError(
            "names code on the hub", file=file, key=AUTO_MAP, value=config[AUTO_MAP], fix=fix
        )
    digest = python_digest(file.parent)
    if digest is not None and digest == trusted_python():
        return digest
    if known:
        return None
    fix = otherwise
    if digest is not None:
        fix += f"; or read the code, and write trust_remote_code: {digest} into the experiment"
    raise CheckpointError(
        "is Python of the folder's own, which is not run",
        file=file,
        key=AUTO_MAP,
        value=config[AUTO_MAP],
        fix=fix,
    )


def refuse_foreign_adapter(folder: Path) -> None:
    """Refuse an adapter whose configuration leads PEFT to other models, modules or files.

    Raises:
        CheckpointError: by the key of ``adapter_config.json``.
    """
    file = folder / ADAPTER_CONFIG
    for key, value in _pairs(read_json_object(file, CheckpointError)):
        if key in _LEADING_OUT and value and value not in _OWN_BASE:
            raise CheckpointError(
                "leads to what is not in the folder",
                file=file,
                key=key,
                value=value,
                fix="remove the key, or merge the adapter with PEFT and name the merged model",
            )


def _pairs(value: object) -> Iterator[tuple[str, object]]:
    """Every key of nested objects, with its value."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield str(key), inner
            yield from _pairs(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _pairs(inner)
