"""The command in this process, and a run that lm-eval itself made, in a store."""

from __future__ import annotations

from pathlib import Path

import pytest

from steelyard.harness.compare import Scored
from steelyard.harness.imports.lm_eval import read_lm_eval
from tests.harness.imports.conftest import lm_eval_output, steelyard

__all__ = ["lm_eval_output", "scored", "steelyard"]


@pytest.fixture
def scored(lm_eval_output: Path) -> Scored:
    """lm-eval's dummy model on three tasks: choices, likelihoods, generated text."""
    (imported,) = read_lm_eval([lm_eval_output], name="base")
    return Scored(
        imported.run,
        {(r.task, r.metric): r for r in imported.rows},
        {(s.task, s.sample_id): s for s in imported.samples},
    )
