"""What a candidate is made from: its parent, and other checkpoints that its options name.

A trainer class lists the options that name checkpoints in ``source_options``. Each value, or the
``model`` of a value that has keys, is another candidate, ``base``, or a model as ``base:`` names
one (a folder, a hub id, ``microworld``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from steelyard.harness.errors import ConfigError, UnknownNameError, did_you_mean
from steelyard.harness.plugins.names import load_trainer, plugin_names

BASE = "base"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def sources_of(spec: Mapping[str, Any]) -> tuple[str, ...]:
    """The checkpoints that a candidate's options name, each once, in the order given."""
    try:
        trainer_class = load_trainer(str(spec.get("trainer")))
    except (UnknownNameError, ConfigError):
        return ()  # which is told where the trainer is looked at
    found: list[str] = []
    for option in trainer_class.source_options:
        value = spec.get(option, ())
        values = value if isinstance(value, list | tuple) else [value]
        values = [one.get("model") if isinstance(one, Mapping) else one for one in values]
        found += [one for one in values if isinstance(one, str) and one not in found]
    return tuple(found)


def parents_first(specs: Mapping[str, Mapping[str, Any]], file: Path) -> list[str]:
    """Candidate names so that each follows what it is made from; a cycle is named in full.

    Raises:
        ConfigError: a parent is no candidate, a source is neither a candidate nor a model, or
            candidates are made from one another.
    """
    order: list[str] = []

    def visit(name: str, chain: list[str]) -> None:
        if name in chain:
            cycle = " -> ".join([*chain[chain.index(name) :], name])
            key = f"candidates.{chain[-1]}.parent"
            raise ConfigError(f"parents form a cycle: {cycle}", file=file, key=key)
        if name in order:
            return
        spec = specs[name]
        parent = spec.get("parent", BASE)
        if parent != BASE:
            if not isinstance(parent, str) or parent not in specs:
                raise ConfigError(
                    "no such candidate",
                    file=file,
                    key=f"candidates.{name}.parent",
                    value=parent,
                    fix=did_you_mean(str(parent), [*specs, BASE]),
                )
            visit(parent, [*chain, name])
        for source in sources_of(spec):
            if source in specs:
                visit(source, [*chain, name])
            elif source != BASE and not _is_model(source, file):
                raise ConfigError(
                    "neither a candidate nor a model",
                    file=file,
                    key=f"candidates.{name}",
                    value=source,
                    fix=did_you_mean(source, [*specs, BASE]),
                )
        order.append(name)

    for name in specs:
        visit(name, [])
    return order


def ancestors(graph: Mapping[str, Sequence[str]], name: str) -> set[str]:
    """Every candidate that went into ``name``, directly or through others; ``base`` has none."""
    found: set[str] = set()
    waiting = list(graph.get(name, ()))
    while waiting:
        one = waiting.pop()
        if one in graph and one not in found:
            found.add(one)
            waiting += graph[one]
    return found


def _is_model(name: str, file: Path) -> bool:
    if name in plugin_names("bases") or _HUB_ID.fullmatch(name):
        return True
    return (file.parent / name).exists() or Path(name).expanduser().exists()
