"""The house in figures: rooms, circles, arrows against the order, and how its modules are written.

    python benchmarks/house.py [--root CHECKOUT]

Arrows come from grimp (the graph behind import-linter), imports under ``TYPE_CHECKING``, inside
functions and by ``import_module("...")`` counted; the order of the rooms is the one in
``pyproject.toml``. Everything else is read from the syntax trees of the four folders. Exits 1 where
a bar is missed. ``--root`` takes another checkout, an older one with four top-level packages too.
"""

from __future__ import annotations

import argparse
import ast
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDERS = ("harness", "tasks", "trainers", "reports")
#: Words that say what happened to a thing, not what it is.
VAGUE = frozenset({"found", "known", "kept", "given", "said", "told", "one"})
MOST_ENTRIES, MOST_LINES = 20, 400
MOST_INNER_IMPORTS, MOST_ANY, MOST_VAGUE_SHARE = 4.0, 10.0, 0.02

_GRAPH = """
import json, sys
import grimp
graph = grimp.build_graph(*sys.argv[1:], cache_dir=None)
edges = [[a, b] for a in sorted(graph.modules) for b in graph.find_modules_directly_imported_by(a)]
print(json.dumps([sorted(graph.modules), edges]))
"""


@dataclass(frozen=True)
class Module:
    """One Python file of the project."""

    name: str
    path: Path
    lines: int
    tree: ast.Module


def modules(root: Path, prefix: str) -> list[Module]:
    """Every module below the four folders and the face, by its import name."""
    paths = [path for folder in FOLDERS for path in sorted((root / folder).rglob("*.py"))]
    paths += sorted((root / "steelyard").glob("*.py"))
    return [_module(path, root, prefix) for path in paths]


def _module(path: Path, root: Path, prefix: str) -> Module:
    parts = path.relative_to(root).with_suffix("").parts
    parts = parts[:-1] if parts[-1] == "__init__" else parts
    name = ".".join(parts if parts[:1] == ("steelyard",) else (*prefix.split(), *parts))
    text = path.read_text(encoding="utf-8")
    return Module(name, path, text.count("\n"), ast.parse(text))


def arrows(root: Path, code: list[Module], prefix: str) -> set[tuple[str, str]]:
    """(importing module, imported module) for every import between modules of the project."""
    packages = ["steelyard"] if prefix else list(FOLDERS)
    place = links(root) if prefix else root
    done = subprocess.run(
        [sys.executable, "-c", _GRAPH, *packages],
        cwd=place, env={"PYTHONPATH": str(place)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    names, edges = json.loads(done.stdout)
    graph = {(importer, imported) for importer, imported in edges}
    for module in code:
        for target in _by_importlib(module.tree):
            if target in names:
                graph.add((module.name, target))
    return graph


def links(root: Path) -> Path:
    """A folder that holds the project's folders under their one import name (``make types``)."""
    subprocess.run(["make", "-s", "-C", str(root), "build/types"], check=True)
    return root / "build" / "types"


def _by_importlib(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = ast.unparse(node.func).rpartition(".")[2]
            if name == "import_module":
                yield str(node.args[0].value)


def circles(graph: Iterable[tuple[str, str]]) -> list[list[str]]:
    """The strongly connected parts of more than one module (Tarjan 1972, by networkx)."""
    import networkx

    parts = networkx.strongly_connected_components(networkx.DiGraph(list(graph)))
    return sorted(sorted(part) for part in parts if len(part) > 1)


def room_of(name: str) -> str:
    """The room of a module: a folder or file of the harness, or one of the other folders."""
    parts = name.removeprefix("steelyard.").split(".")
    if parts[0] == "harness" and len(parts) > 1:
        return f"harness.{parts[1]}"
    return "steelyard" if parts[0] not in FOLDERS else parts[0]


def room_order(root: Path) -> dict[str, int]:
    """Room -> floor, 0 at the bottom, as import-linter's contracts in ``pyproject.toml`` say."""
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings.get("tool", {}).get("importlinter", {}).get("contracts", ())
    layers = next((c["layers"] for c in contracts if c.get("id") == "rooms"), None)
    if layers is None:
        return {}
    floors = {f"harness.{name}": floor for floor, name in enumerate(reversed(layers))}
    top = max(floors.values())
    return (
        floors
        | {"harness.cli": top + 2, "steelyard": top + 3}
        | dict.fromkeys(("tasks", "trainers", "reports"), top + 1)
    )


def upward(graph: Iterable[tuple[str, str]], order: dict[str, int]) -> list[tuple[str, str]]:
    """The arrows that run from a lower room to a higher one."""
    return sorted((a, b) for a, b in graph if order.get(room_of(a), 99) < order.get(room_of(b), -1))


def inner_imports(tree: ast.Module) -> int:
    """Import statements inside functions."""
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    statements = {
        id(node)
        for function in functions
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    return len(statements)


def any_uses(tree: ast.Module) -> int:
    """How often the type ``Any`` stands in a module, its import counted."""
    return sum(
        (isinstance(node, ast.Name) and node.id == "Any")
        or (isinstance(node, ast.alias) and node.name == "Any")
        for node in ast.walk(tree)
    )


def vague_functions(tree: ast.Module) -> tuple[int, int]:
    """(functions that bind a vague word, functions); parameters and loop targets bind too."""
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    return sum(bool(_bound(function) & VAGUE) for function in functions), len(functions)


def _bound(function: ast.FunctionDef | ast.AsyncFunctionDef) -> set[str]:
    names = {
        n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
    }
    return names | {n.arg for n in ast.walk(function) if isinstance(n, ast.arg)}


def main() -> int:
    """Print the figures; 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parents[1])
    root = parser.parse_args().root.resolve()
    prefix = "steelyard" if (root / "steelyard" / "__init__.py").exists() else ""
    code = modules(root, prefix)
    graph = arrows(root, code, prefix)
    order = room_order(root)
    round_trips, back = circles(graph), upward(graph, order)
    between = {(room_of(a), room_of(b)) for a, b in graph if room_of(a) != room_of(b)}
    lines = sum(module.lines for module in code)
    longest = max(code, key=lambda module: module.lines)
    entries = [p for p in (root / "harness").iterdir() if p.name != "__pycache__"]
    imports = 1000 * sum(inner_imports(m.tree) for m in code) / lines
    anys = 1000 * sum(any_uses(m.tree) for m in code) / lines
    vague, functions = map(sum, zip(*(vague_functions(m.tree) for m in code), strict=True))
    bars = [
        ("entries in harness/", f"{len(entries)}", len(entries) <= MOST_ENTRIES),
        ("rooms", f"{len({room_of(m.name) for m in code})}", None),
        ("files, lines", f"{len(code)}, {lines:,}", None),
        ("arrows between rooms", f"{len(between)}", None),
        ("circles of modules, types counted", f"{len(round_trips)}", not round_trips),
        ("modules in circles", f"{sum(map(len, round_trips))}", not round_trips),
        ("arrows against the order", f"{len(back)}" if order else "no order", not back),
        ("longest module", f"{longest.lines} ({longest.name})", longest.lines <= MOST_LINES),
        ("imports inside functions, a 1,000 lines", f"{imports:.1f}", imports < MOST_INNER_IMPORTS),
        ("`Any`, a 1,000 lines", f"{anys:.1f}", anys < MOST_ANY),
        ("functions binding a vague word", f"{vague / functions:.1%}",
         vague / functions < MOST_VAGUE_SHARE),
    ]  # fmt: skip
    for name, figure, holds in bars:
        print(f"{name:42} {figure:32} {'' if holds is None else 'ok' if holds else 'MISSED'}")
    for part in round_trips:
        print("circle:", " ".join(part))
    for a, b in back:
        print(f"against the order: {a} -> {b}")
    return int(any(holds is False for _, _, holds in bars))


if __name__ == "__main__":
    sys.exit(main())
