"""Name -> class: the built-in table, and entry points of other packages.

A plugin of another package registers under the entry-point group ``steelyard.<group>`` and is then
named like a built-in one. Nothing is imported before it is used.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from steelyard.harness.errors import ConfigError, MissingExtraError, UnknownNameError, did_you_mean
from steelyard.harness.plugins.built_in import BUILT_IN
from steelyard.harness.plugins.protocols import Trainer

#: Import errors of these packages are answered with the extra that brings them.
EXTRAS: dict[str, str] = {"ray": "ray"}


def plugin_names(group: str) -> list[str]:
    """Every plugin name of ``group``, built in or from an entry point, sorted."""
    return sorted({*BUILT_IN.get(group, {}), *(e.name for e in _entry_points(group))})


def load_plugin(group: str, name: str) -> Any:
    """The class (or function) registered as ``name`` in ``group``.

    Raises ``UnknownNameError`` with the nearest names, or ``MissingExtraError`` where the plugin
    stands on a package that is not installed.
    """
    target = BUILT_IN.get(group, {}).get(name)
    if target is None:
        found = next((e for e in _entry_points(group) if e.name == name), None)
        if found is None:
            raise UnknownNameError(
                f"no {group.removesuffix('s')} named '{name}'",
                fix=did_you_mean(name, plugin_names(group)),
            )
        target = found.value
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


def _entry_points(group: str) -> list[Any]:
    return list(entry_points(group=f"steelyard.{group}"))
