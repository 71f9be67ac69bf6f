"""What a candidate is made from: its parent, and other checkpoints that its options name.

A trainer class lists the options that name checkpoints in ``source_options``. Each value, or the
``model`` of a value that has keys, is another candidate, ``base``, or a model as ``base:`` names
one (a folder, a hub id, ``microworld``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from steelyard.harness.errors import Collected, ConfigError, UnknownNameError, did_you_mean
from steelyard.harness.plugins import load_trainer, plugin_names

BASE = "base"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")

#: A part of the experiment file as it is written there: key -> YAML value.
Block = dict[str, Any]
Specs = Mapping[str, Block]


def sources_of(spec: Block) -> tuple[str, ...]:
    """The checkpoints that a candidate's options name, each once, in the order of the file."""
    names: list[str] = []
    for option in source_options(spec):
        value = spec.get(option, ())
        values = value if isinstance(value, list | tuple) else [value]
        values = [entry.get("model") if isinstance(entry, Mapping) else entry for entry in values]
        names += [name for name in values if isinstance(name, str) and name not in names]
    return tuple(names)


def source_options(spec: Block) -> tuple[str, ...]:
    """The options of a candidate that name checkpoints; () where its trainer is none."""
    try:
        return load_trainer(str(spec.get("trainer"))).source_options
    except (UnknownNameError, ConfigError):
        return ()  # an error where the trainer is looked at


def parents_first(specs: Specs, folder: Path) -> list[str]:
    """Candidate names so that each follows what it is made from; a cycle is named in full.

    Args:
        specs: the candidates.
        folder: where a source that is a model may lie.

    Raises:
        ConfigError: a parent is no candidate, a source is neither a candidate nor a model, or
            candidates are made from one another; all of these at once.
    """
    problems = Collected()
    for name in specs:
        problems.errors += _missing_origins(name, specs, folder)
    order: dict[str, None] = {}
    for name in specs:
        problems.errors += _visited(name, specs, order)
    problems.raise_any()
    return list(order)


def _missing_origins(name: str, specs: Specs, folder: Path) -> Iterator[ConfigError]:
    parent = specs[name].get("parent", BASE)
    if parent != BASE and not (isinstance(parent, str) and parent in specs):
        near = did_you_mean(str(parent), [*specs, BASE])
        key = f"candidates.{name}.parent"
        yield ConfigError("no such candidate", key=key, value=parent, fix=near)
    for source in sources_of(specs[name]):
        if source not in specs and source != BASE and not _is_model(source, folder):
            near = did_you_mean(source, [*specs, BASE])
            key, message = f"candidates.{name}", "neither a candidate nor a model"
            yield ConfigError(message, key=key, value=source, fix=near)


def _visited(name: str, specs: Specs, order: dict[str, None]) -> Iterator[ConfigError]:
    """Put ``name`` into ``order`` after what it is made from; an error for each cycle.

    A chain of candidates may be longer than Python's stack: those that wait stand in ``chain``,
    each with those of its origins that have not been looked at.
    """
    chain = {} if name in order else {name: _origins(name, specs)}
    while chain:
        last = next(reversed(chain))
        origin = next(chain[last], None)
        if origin is None:
            del chain[last]
            order[last] = None
        elif origin in chain:
            names = list(chain)
            cycle = " -> ".join([*names[names.index(origin) :], origin])
            yield ConfigError(f"parents form a cycle: {cycle}", key=f"candidates.{last}.parent")
        elif origin in specs and origin not in order:
            chain[origin] = _origins(origin, specs)


def _origins(name: str, specs: Specs) -> Iterator[str]:
    for origin in (specs[name].get("parent", BASE), *sources_of(specs[name])):
        if isinstance(origin, str) and origin != BASE:
            yield origin


def ancestors(graph: Mapping[str, Sequence[str]], name: str) -> set[str]:
    """Every candidate that went into ``name``, directly or through others; ``base`` has none."""
    names: set[str] = set()
    waiting = list(graph.get(name, ()))
    while waiting:
        origin = waiting.pop()
        if origin in graph and origin not in names:
            names.add(origin)
            waiting += graph[origin]
    return names


def _is_model(name: str, folder: Path) -> bool:
    if name in plugin_names("bases") or _HUB_ID.fullmatch(name):
        return True
    return (folder / name).exists() or Path(name).expanduser().exists()
