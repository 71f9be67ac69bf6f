"""lm-eval compiles a Jinja template at every use, 5 ms for a five-shot document; once is enough."""

from __future__ import annotations

from functools import lru_cache
from typing import Any


def compile_templates_once() -> None:
    """Keep compiled templates in lm-eval's own environment; the prompts are the same.

    :func:`steelyard.harness.scoring.open_model` calls this, so ``lm_eval.simple_evaluate`` profits as well.
    """
    environment = _environment()
    if "from_string" not in vars(environment):
        environment.from_string = lru_cache(maxsize=4096)(environment.from_string)


def compile_templates_always() -> None:
    """Put lm-eval back to its own ways, to measure it."""
    vars(_environment()).pop("from_string", None)


def _environment() -> Any:
    from lm_eval import utils

    return utils.env
