"""What a model's folder may not do: run Python of its own, or send a library elsewhere.

A configuration can name classes in Python files beside it, kernels and models on the hub, modules
to import and files anywhere. transformers and PEFT read what is named; a digest of the folder would
say nothing of it. So it is refused, by the key that says it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from steelyard.harness.checkpoints.folder import ADAPTER_CONFIG, CONFIG, TOKENIZER_CONFIG
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
_AUTO_MAP = "auto_map"


def refuse_foreign(folder: Path) -> None:
    """Refuse a model whose configuration needs Python of its own or code of the hub.

    Where transformers has a class of its kind, that is taken, and the folder's Python is not run.

    Raises:
        CheckpointError: by the key of ``config.json``.
    """
    if not is_own_file(folder, CONFIG):
        return
    file = folder / CONFIG
    config = read_json_object(file, CheckpointError)
    for key, value in _pairs(config):
        if key in _KERNELS and "/" in str(value):
            raise CheckpointError(
                "names code on the hub", file=file, key=key, value=value, fix="remove the key"
            )
    if not config.get(_AUTO_MAP):
        return
    from transformers import CONFIG_MAPPING

    if config.get("model_type") not in CONFIG_MAPPING:
        raise _own_python(file, config, "use a model that transformers has a class of (model_type)")


def refuse_foreign_tokenizer(folder: Path) -> None:
    """Refuse a tokenizer that is Python of the folder's own: another would be taken for it.

    Raises:
        CheckpointError: by the key of ``tokenizer_config.json``.
    """
    if not is_own_file(folder, TOKENIZER_CONFIG):
        return
    file = folder / TOKENIZER_CONFIG
    config = read_json_object(file, CheckpointError)
    name = str(config.get("tokenizer_class", "")).removesuffix("Fast")
    if not config.get(_AUTO_MAP):
        return
    from transformers.models.auto.tokenization_auto import tokenizer_class_from_name

    if not any(tokenizer_class_from_name(f"{name}{end}") for end in ("", "Fast")):
        fix = "use one that transformers has a class of (tokenizer_class)"
        raise _own_python(file, config, fix)


def _own_python(file: Path, config: Mapping[str, object], fix: str) -> CheckpointError:
    problem = "is Python of the folder's own, which is not run"
    return CheckpointError(problem, file=file, key=_AUTO_MAP, value=config[_AUTO_MAP], fix=fix)


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
