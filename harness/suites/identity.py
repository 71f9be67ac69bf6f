"""What a task is, as digests of content: its definition, its documents, one sample.

No digest depends on a path, an order of documents or a library version.
"""

from __future__ import annotations

import inspect
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from steelyard.harness.files import code_digest, digest_json
from steelyard.harness.suites.renamed_files import first_digest

if TYPE_CHECKING:
    from lm_eval.api.task import Task

#: Keys of a task's configuration that say where it lay or how it is shown, not what it is.
NOT_IDENTITY = frozenset({"metadata", "tag", "group", "task_alias", "dataset_kwargs"})

#: Where a function of a task stood in memory, in lm-eval's dump of its configuration.
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def content_digest(value: object) -> str:
    """Digest of any document or target: JSON where it is JSON, else its text."""
    return digest_json(json.loads(json.dumps(_json_value(value), default=str, sort_keys=True)))


def documents_digest(digests: Iterable[str]) -> str:
    """Digest of a set of documents, in no particular order."""
    return digest_json(sorted(digests))


def sample_ids(contents: Sequence[tuple[object, str, str]]) -> list[str]:
    """Ids of samples from (document, prompt, target); true duplicates are numbered in order."""
    seen: Counter[str] = Counter()
    ids = []
    for document, prompt, target in contents:
        content = digest_json([content_digest(document), prompt, target])
        ids.append(digest_json([content, seen[content]])[:32])
        seen[content] += 1
    return ids


def task_digest(task: Task, num_fewshot: int) -> str:
    """Digest of a task's configuration with the content of its Python files."""
    config = getattr(task, "config", None)
    content: dict[str, object] = {"num_fewshot": num_fewshot, "class": _callable(own_class(task))}
    if config is not None:
        content |= {
            key: _identity(value)
            for key, value in vars(config).items()
            if value is not None and key not in NOT_IDENTITY and key != "num_fewshot"
        }
    version = getattr(task, "VERSION", None)
    return digest_json(json.loads(json.dumps({**content, "version": version}, default=str)))


def dumped_digest(version: object, config: Mapping[str, object]) -> str:
    """Digest of a task's configuration as lm-eval dumps it into its results, and of its version."""
    told_elsewhere = {*NOT_IDENTITY, "num_fewshot", "steelyard_parity"}
    identity = {k: v for k, v in config.items() if k not in told_elsewhere}
    content = json.dumps([f"version {version}", identity], sort_keys=True, default=str)
    return digest_json(_ADDRESS.sub("", content))


def same_as(dumped: str, documents: str) -> str:
    """What identifies a task to a run made here and to one imported from lm-eval alike."""
    return digest_json([dumped, documents])


def own_class(task: Task) -> type[Task]:
    """The class that the task was loaded with, whatever stands in front of it since."""
    loaded: type[Task] = getattr(task, "own_class", type(task))
    return loaded


def _identity(value: object) -> object:
    if isinstance(value, Mapping):
        return {str(key): _identity(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_identity(entry) for entry in value]
    if hasattr(value, "__dataclass_fields__") and not isinstance(value, type):
        return {key: _identity(entry) for key, entry in vars(value).items() if entry is not None}
    return _callable(value) if callable(value) else _json_value(value)


def _callable(value: Callable[..., object]) -> list[str]:
    """A function's or class's name with the content of its file, and of the modules beside it."""
    name = getattr(value, "__qualname__", type(value).__qualname__)
    try:
        path = Path(inspect.getfile(value))
    except TypeError:
        return [name]
    if "lm_eval" in path.parts and "tasks" not in path.parts:
        # lm-eval's own classes are named by its version, which a signature carries.
        return [name]
    return [name, first_digest(code_digest(path))] if path.is_file() else [name]


def _json_value(value: object) -> object:
    """JSON of any value: numbers that JSON has no word for become text."""
    if isinstance(value, Mapping):
        return {str(key): _json_value(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json_value(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else str(value)
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if hasattr(value, "tolist"):
        return _json_value(value.tolist())
    return str(value)
