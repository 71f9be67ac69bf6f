from __future__ import annotations

import pytest

from steelyard.harness.records import Checkpoint
from tests.trainers import tiny_jobs


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return tiny_jobs.save_base(tmp_path_factory.mktemp("base"))
