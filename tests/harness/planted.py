"""A folder to work in with modules that leave a mark where one of them is imported."""

from __future__ import annotations

from pathlib import Path

#: Imported early by nearly everything; a stand-in says that it ran and is then what it should be.
_NAMES = ("json", "pathlib", "typing", "torch", "threading", "traceback", "yaml", "sitecustomize")
_PYTHON = """
import os, sys
os.makedirs({marker!r}, exist_ok=True)
sys.path[:] = [p for p in sys.path if os.path.abspath(p or '.') != {folder!r}]
del sys.modules[__name__]
__import__(__name__)
"""


def plant(parent: Path) -> Path:
    """The folder ``work``; beside it the folder ``ran`` appears."""
    folder = parent / "work"
    folder.mkdir()
    text = _PYTHON.format(marker=str(parent / "ran"), folder=str(folder))
    for name in _NAMES:
        (folder / f"{name}.py").write_text(text)
    return folder


def ran(folder: Path) -> bool:
    """Whether one of the modules in ``folder`` was imported by anybody."""
    return (folder.parent / "ran").exists()
