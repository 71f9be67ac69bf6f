from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.scoring import tiny


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_llama(tmp_path_factory.mktemp("llama"))
