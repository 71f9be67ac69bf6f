"""Task templates compiled once: lm-eval compiles each of them anew for every document."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Template


@contextmanager
def templates_compiled_once() -> Iterator[None]:
    """Within this block lm-eval keeps the templates that it compiled; the texts are the same.

    The one place where lm-eval is changed instead of called, and only for the block: its
    ``apply_template`` gives a template's text to ``env.from_string`` for every document (5 ms each
    where rendering takes 0.1), and jinja2 has no switch that keeps what it compiled from a text.
    Our own tasks (:mod:`steelyard.harness.suites.narrowed`) are always asked inside; wrap
    ``lm_eval.simple_evaluate`` in it to build requests as fast. Blocks may nest.
    """
    from lm_eval.utils import env

    if "from_string" in vars(env):
        yield
        return
    env.from_string = _compiled
    try:
        yield
    finally:
        del env.from_string


@lru_cache(maxsize=4096)
def _compiled(template: str) -> Template:
    from lm_eval.utils import env

    compiled: Template = type(env).from_string(env, template)
    return compiled
