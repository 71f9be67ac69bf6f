"""The digest of the Python that a plugin is made of: its module and what that imports of its own.

What counts is the runtime closure: the plugin's module, its base classes' modules, and every module
that these import within the same package, directly or through one another, whether at the top or
inside a function. A module beside them that nothing imports does not count, nor does what is
imported for types alone. Other packages count by their versions, elsewhere.
"""

from __future__ import annotations

import sys
from pathlib import Path

from steelyard.harness.files import digest_json, file_digest, imported_names
from steelyard.harness.plugins.plugin import Plugin

#: A plugin's own package: the first part of its name; of ours, the first two.
_OURS = __name__.partition(".")[0]


def source_digest(plugin: type) -> str:
    """Digest of the names and contents of the plugin's closure. See the module's text."""
    return digest_json(
        sorted((name, file_digest(path)) for name, path in source_files(plugin).items())
    )


def source_files(plugin: type) -> dict[str, Path]:
    """Module name -> file of everything in the plugin's closure."""
    files: dict[str, Path] = {}
    for base in plugin.__mro__:
        if issubclass(base, Plugin) and _package(base.__module__) != f"{_OURS}.harness":
            files |= _closure(base.__module__)
    return files


def _package(module: str) -> str:
    parts = module.split(".")
    return ".".join(parts[: 2 if parts[0] == _OURS else 1])


def _closure(module: str) -> dict[str, Path]:
    package = _package(module)
    files: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = None if name in files else _file(name, package)
        if path is None:
            continue
        files[name] = path
        parents = (name.rsplit(".", cut)[0] for cut in range(1, name.count(".") + 1))
        imports = imported_names(path, file_digest(path), name, path.name == "__init__.py")
        inside = (n for n in (*parents, *imports) if n == package or n.startswith(f"{package}."))
        waiting += inside
    return files


def _file(module: str, package: str) -> Path | None:
    """The file of a module of ``package``, which is imported; None where there is none."""
    root = sys.modules.get(package)
    if root is None:
        return None
    below = module.removeprefix(package).strip(".").split(".") if module != package else []
    for folder in getattr(root, "__path__", ()):
        place = Path(folder, *below)
        for path in (place / "__init__.py", place.with_suffix(".py")):
            if path.is_file():
                return path
    own = getattr(root, "__file__", None)  # a module of its own, outside any package
    return Path(own) if own is not None and not below and Path(own).suffix == ".py" else None
