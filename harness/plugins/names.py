"""Name -> class: the built-in table, and entry points of other packages.

A plugin of another package registers under the entry-point group ``steelyard.<group>`` and is then
named like a built-in one. Nothing is imported before it is used.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from steelyard.harness.errors import (
    ConfigError,
    MissingExtraError,
    SteelyardError,
    UnknownNameError,
    did_you_mean,
)
from steelyard.harness.plugins.built_in import BUILT_IN
from steelyard.harness.plugins.protocols import Trainer

#: Import errors of these packages are answered with the extra that brings them.
EXTRAS: dict[str, str] = {"ray": "ray"}


def plugin_names(group: str) -> list[str]:
    """Every plugin name of ``group``, built in or from an entry point, sorted."""
    return sorted({*BUILT_IN.get(group, {}), *(e.name for e in _entry_points(group))})


def load_plugin(group: str, name: str) -> Any:
    """The class (or function) registered as ``name`` in ``group``.

    Raises ``UnknownNameError`` with the nearest names, ``MissingExtraError`` where the plugin
    stands on a package that is not installed, ``ConfigError`` where another package does not load.
    """
    target = BUILT_IN.get(group, {}).get(name)
    if target is None:
        return _foreign(group, name)
    module, _, attribute = target.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        extra = EXTRAS.get(missing)
        if extra is None:
            raise
        raise MissingExtraError(
            f"{group.removesuffix('s')} '{name}' needs the package {missing}",
            fix=f"pip install 'steelyard[{extra}]'",
        ) from error


def _foreign(group: str, name: str) -> Any:
    """The plugin of another package. Raises ``ConfigError`` where that package does not load."""
    entry = next((each for each in _entry_points(group) if each.name == name), None)
    kind = group.removesuffix("s")
    if entry is None:
        fix = did_you_mean(name, plugin_names(group))
        raise UnknownNameError(f"no {kind} named '{name}'", fix=fix)
    try:
        return entry.load()
    except SteelyardError:
        raise
    except Exception as error:  # whatever the import of another package raises
        package = entry.dist.name if entry.dist else entry.value
        reason = f"{type(error).__name__}: {error}"
        raise ConfigError(
            f"{kind} '{name}' of the package {package} cannot be loaded: {reason}",
            fix=f"mend or remove {package}",
        ) from error


def require_verbs(group: str, name: str, plugin: object, *verbs: str) -> None:
    """Raise ``ConfigError`` where what is registered as ``name`` lacks what its protocol asks."""
    lacking = [verb for verb in verbs if not hasattr(plugin, verb)]
    if lacking:
        kind = group.removesuffix("s")
        raise ConfigError(
            f"what is registered as '{name}' is no {kind}: it has no {', '.join(lacking)}",
            fix="see docs/plugins.md",
        )


def is_built_in(plugin: object) -> bool:
    """Whether a plugin is one of those that come along."""
    kind = type(plugin)
    place = f"{kind.__module__}:{kind.__qualname__}"
    return any(place in targets.values() for targets in BUILT_IN.values())


def load_trainer(name: str) -> type[Trainer]:
    """The trainer registered as ``name``.

    Raises as :func:`load_plugin`, and ``ConfigError`` where what is registered is no trainer.
    """
    trainer = load_plugin("trainers", name)
    if not (isinstance(trainer, type) and issubclass(trainer, Trainer)):
        fix = "let its class inherit from steelyard.harness.plugins.protocols.Trainer"
        raise ConfigError(f"what is registered as '{name}' is no trainer", fix=fix)
    if trainer.train is Trainer.train:
        raise ConfigError(f"trainer '{name}' has no train(job)", fix="write one")
    return trainer


def _entry_points(group: str) -> tuple[EntryPoint, ...]:
    return _entry_points_in(tuple((folder, _changed_at(folder)) for folder in sys.path), group)


@lru_cache(maxsize=64)
def _entry_points_in(
    folders: tuple[tuple[str, int | None], ...], group: str
) -> tuple[EntryPoint, ...]:
    """Read once for a path, since a file of every installed package is opened for it.

    A package that comes or goes changes the time of the folder that it lies in.
    """
    return tuple(entry_points(group=f"steelyard.{group}"))


def _changed_at(folder: str) -> int | None:
    try:
        return Path(folder).stat().st_mtime_ns
    except OSError:  # a path may name what is not there, or an archive that is gone
        return None
