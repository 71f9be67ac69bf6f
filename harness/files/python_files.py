"""What a Python file of a user's is: its bytes, and those of the modules beside it that it imports.

A task's functions, a reward or a metric often take their wording and their rules from a module that
lies beside them. Whoever edits that one has another task.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from steelyard.harness.files.digests import digest_json, file_digest

#: Folders of installed packages: what lies there is told by its version.
_INSTALLED = frozenset({"site-packages", "dist-packages"})
#: What of our own a score depends on stands in its key by rooms.
_OURS = __name__.partition(".")[0]


def code_digest(path: Path) -> str:
    """The digest of a Python file; with its own modules' names and digests where it has any."""
    beside = modules_beside(path)
    if not beside:
        return file_digest(path)
    own = sorted((name, file_digest(file)) for name, file in beside.items())
    return digest_json([file_digest(path), own])


def modules_beside(path: Path) -> dict[str, Path]:
    """Name -> file of what a Python file imports from its own folder or package, to the last one.

    Installed packages have none. Nor has what is imported under a name made at run time.
    """
    found: dict[str, Path] = {}
    waiting = [path]
    while waiting:
        file = waiting.pop()
        for name, place in _beside(file):
            if name not in found and place != path:
                found[name] = place
                waiting.append(place)
    return found


def _beside(file: Path) -> Iterator[tuple[str, Path]]:
    if _INSTALLED & set(file.parts) or file.suffix != ".py":
        return
    root = file.parent
    while (root / "__init__.py").is_file() and root != root.parent:
        root = root.parent
    is_package = file.name == "__init__.py"
    module = ".".join((file.parent if is_package else file.with_suffix("")).relative_to(root).parts)
    try:
        names = imported_names(file, file_digest(file), module, is_package)
    except SyntaxError:  # whoever loads it says so
        return
    for name in sorted(names - {""}):
        parts = name.split(".")
        if parts[0] == _OURS:
            continue
        for place in (Path(folder, *parts) for folder in dict.fromkeys((root, file.parent))):
            for candidate in (place / "__init__.py", place.with_suffix(".py")):
                if candidate.is_file():
                    yield name, candidate


@lru_cache(maxsize=1024)
def imported_names(path: Path, digest: str, module: str, is_package: bool) -> frozenset[str]:
    """Names that a file's import statements may bring in; ``digest`` is that of its content."""
    tree = ast.parse(path.read_bytes())
    names: set[str] = set()
    for node in _at_run_time(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            source = _imported_from(node, module, is_package)
            # `from package import name`: the name may be a module.
            names |= {source, *(f"{source}.{alias.name}".strip(".") for alias in node.names)}
    return frozenset(names)


def _imported_from(node: ast.ImportFrom, module: str, is_package: bool) -> str:
    if node.level == 0:
        return node.module or ""
    parts = module.split(".")
    around = parts[: len(parts) - node.level + is_package]
    return ".".join([*around, *filter(None, [node.module])])


def _at_run_time(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node but those that stand under ``if TYPE_CHECKING:``."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)
