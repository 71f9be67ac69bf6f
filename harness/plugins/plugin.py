"""What a plugin is, and the digest of the Python that it is made of."""

from __future__ import annotations

import sys
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from steelyard.harness.files.digests import digest_json, file_digest


class Plugin(BaseModel):
    """The base of every plugin: frozen, and an unknown option is an error that names the fix.

    The class is the YAML schema, the validation error, the ``steelyard show`` page, the identity
    that is hashed (``model_dump``), and the implementation.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")


def source_digest(plugin: type) -> str:
    """Digest of the Python that a plugin is made of: its module's folder, and its base classes'.

    A plugin that is a module of its own, outside any package, counts with its file alone.
    """
    files: set[Path] = set()
    for one in plugin.__mro__:
        module = sys.modules.get(one.__module__)
        path = getattr(module, "__file__", None)
        if path is None or not issubclass(one, Plugin) or one is Plugin:
            continue
        inside = bool(getattr(module, "__package__", ""))
        files |= set(Path(path).parent.glob("*.py")) if inside else {Path(path)}
    return digest_json(sorted((path.name, file_digest(path)) for path in files))
