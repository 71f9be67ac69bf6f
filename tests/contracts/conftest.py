"""Beside the built-in plugins, those of another package are held against every contract."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import guide_package


@pytest.fixture(scope="session")
def guide_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return guide_package.install(tmp_path_factory.mktemp("guide"))


@pytest.fixture(scope="module", autouse=True)
def guide_plugins(guide_site: Path) -> Iterator[None]:
    """The package of docs/plugins.md is installed while a module's tests run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(guide_site)
        yield
