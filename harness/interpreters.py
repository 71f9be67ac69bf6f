"""Other Pythons are started so that they import nothing from the folder somebody works in.

``python -m`` and ``python -c`` look into the working folder before anywhere else, and so does an
empty entry of ``PYTHONPATH``: a ``torch.py`` or ``json.py`` that lies there, in a downloaded folder
say, would run. The flag of an interpreter (``-P``) is not handed on to those that it starts itself;
``PYTHONSAFEPATH`` is, so every Python of ours gets this environment.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_VARIABLES = ("PYTHONSAFEPATH", "PYTHONPATH")


def safe_environment() -> dict[str, str]:
    """This process's environment, for a Python that is to import nothing from the working folder.

    A folder that ``PYTHONPATH`` names stays, the working folder (``.``) too.
    """
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    named = [place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place]
    environment.pop("PYTHONPATH", None)
    return environment | ({"PYTHONPATH": os.pathsep.join(named)} if named else {})


@contextmanager
def safe_interpreters() -> Iterator[None]:
    """Pythons that libraries start within this block have :func:`safe_environment`."""
    before = {name: os.environ.get(name) for name in _VARIABLES}
    _take_over(safe_environment())
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def leave_out_working_folder() -> None:
    """Import nothing from the working folder from here on; nor does what this process starts.

    For the command, whose process is its own.
    """
    safe = safe_environment()
    places = safe.get("PYTHONPATH", "").split(os.pathsep)
    named = {Path(place).absolute() for place in places if place}
    working = Path.cwd()
    if working not in named:
        sys.path[:] = [place for place in sys.path if place and Path(place) != working]
    _take_over(safe)


def _take_over(environment: dict[str, str]) -> None:
    for name in _VARIABLES:
        os.environ.pop(name, None)
    os.environ.update({name: environment[name] for name in _VARIABLES if name in environment})
