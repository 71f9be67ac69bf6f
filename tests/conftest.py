"""Fixtures that every test may use."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import steelyard.harness
from tests.golden_text import OPTION, golden
from tests.postgresql import Server, programs, serving
from tests.scheduling import scheduler, slow_files_first

__all__ = ["golden"]

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")

ROOT = Path(__file__).resolve().parent.parent
# Processes that tests start import the house, and the tests' own toys, from this checkout. The
# links under build/types come first: beside them `steelyard` alone would be found here, and its
# rooms where the editable install points, which may be another checkout.
_FOLDERS = (str(ROOT / "build" / "types"), str(ROOT), os.environ.get("PYTHONPATH"))
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, _FOLDERS))
if str(ROOT) not in sys.path:  # as under PYTHONSAFEPATH
    sys.path.append(str(ROOT))

if not Path(steelyard.harness.__file__).resolve().is_relative_to(ROOT):
    pytest.exit(
        f"these tests would test {steelyard.harness.__file__}, which is another checkout; "
        f"set PYTHONSAFEPATH=1 and PYTHONPATH={ROOT / 'build' / 'types'}",
        returncode=4,
    )


def pytest_addoption(parser: pytest.Parser) -> None:
    """Whole outputs are renewed on purpose, never by themselves."""
    parser.addoption(OPTION, action="store_true", help="rewrite tests/golden and show what changed")


@pytest.hookimpl(tryfirst=True)  # before `-m "not slow"` takes tests away
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests stand first."""
    slow_files_first(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Whole files go to a process, as with `--dist loadfile`, or several that share a fixture."""
    return scheduler(config, log) if config.option.dist == "loadfile" else None


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data sets, or a skip that says what is missing."""
    folder = Path(os.environ.get("STEELYARD_REAL_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no real data: ../shared/data is missing and STEELYARD_REAL_DATA is not set")
    return folder


@pytest.fixture(scope="session")
def real_models() -> Path:
    """The folder of real models, or a skip that says what is missing."""
    folder = Path(os.environ.get("STEELYARD_REAL_MODELS", ROOT.parent / "shared" / "models"))
    if not folder.is_dir():
        pytest.skip(
            "no real models: ../shared/models is missing and STEELYARD_REAL_MODELS is not set"
        )
    return folder


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A PostgreSQL server of the tests' own, or a skip that says what is missing."""
    if programs() is None:
        pytest.skip("no PostgreSQL: Debian's package 'postgresql' is not installed")
    pytest.importorskip("psycopg", reason="the extra 'postgres' is not installed")
    with serving("-c fsync=off") as server:
        yield server


@pytest.fixture
def database(postgresql: Server) -> str:
    """The address of a new, empty database."""
    return postgresql.create(f"t{secrets.token_hex(6)}")
