"""Separate environments, made on demand, for libraries that cannot be installed beside ours."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from steelyard.harness.errors import TrainingError
from steelyard.harness.files import digest_json
from steelyard.harness.interpreters import safe_environment

#: Names the folder in which environments are kept.
VARIABLE = "STEELYARD_ENVIRONMENTS"
_WHOLE = "complete"


def kept_in() -> Path:
    """The folder that the environments lie in: the user's cache, unless the variable names one."""
    named = os.environ.get(VARIABLE)
    if named:
        # Absolute: what runs its Python does so in another folder.
        return Path(named).expanduser().absolute()
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "steelyard" / "environments"


def environment(name: str, requirements: Sequence[str]) -> Path:
    """The Python of an environment that holds exactly these pinned ``requirements``.

    The first call makes it (``pip install`` from the index that pip is set to) and takes minutes;
    later calls, of other processes too, find it. What a kill left half made is made again.

    Raises:
        TrainingError: pip could not install it; the line says why.
    """
    root = kept_in()
    folder = root / f"{name}-{digest_json([*requirements, sys.version_info[:2]])[:12]}"
    python = folder / "bin" / "python"
    if (folder / _WHOLE).is_file():
        return python
    root.mkdir(parents=True, exist_ok=True)
    with (root / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / _WHOLE).is_file():
            return python
        shutil.rmtree(folder, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(folder)], name)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*pip, *requirements], name)
        (folder / _WHOLE).touch()
    return python


def _run(command: Sequence[str], name: str) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=safe_environment()
    )
    if done.returncode == 0:
        return
    lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    raise TrainingError(
        f"the separate environment for {name} could not be made: {(errors or lines or ['?'])[-1]}",
        fix=f"it needs a package index and some 2 GB in {kept_in()} ({VARIABLE} names another "
        "folder); or use another scheme, such as nf4",
    )
