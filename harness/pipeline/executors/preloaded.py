"""Imported by the fork server alone: the libraries that training, checking and scoring stand on.

One that is missing or broken is passed over here; the stage that needs it says so. What a library
prints must not reach standard output, which may be a document's.
"""

from __future__ import annotations

import logging
import sys
from contextlib import redirect_stdout, suppress
from importlib import import_module

from steelyard.harness.checkpoints import fresh_process

LIBRARIES = (
    *fresh_process.LIBRARIES,
    "datasets",
    "lm_eval.evaluator",
    "lm_eval.tasks",
    "trl.trainer.sft_trainer",
    "steelyard.harness.pipeline.score",
)

# As the command does for itself: it asks for a package that fetches code from a hub.
logging.getLogger("bitsandbytes").setLevel(logging.CRITICAL)
with redirect_stdout(sys.stderr):
    for _name in LIBRARIES:
        with suppress(Exception):
            import_module(_name)
