"""Task templates compiled once, and what they print of a value that is no text.

lm-eval compiles each template anew for every document, and prints ``None`` where a document has
nothing. Here nothing is the empty text, as in a training template
(:mod:`steelyard.harness.files.cells`), and a number that is none is an error.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date, time
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from steelyard.harness.errors import DataError
from steelyard.harness.files import memory_limit

if TYPE_CHECKING:
    from jinja2 import Environment, Template
    from jinja2.nodes import EvalContext

#: The filter that puts what an expression gives through :func:`_printed`.
_PRINTED = "printed"
#: The filter that counts the turns of a loop.
_COUNTED = "counted"
#: Of all loops of a template together, for one document: a long list of choices has thousands.
MOST_TURNS = 1_000_000
#: What one text may take of memory: the longest documents are some megabytes.
MOST_MEGABYTES = 1024
_TURNS: ContextVar[list[int]] = ContextVar("turns")
#: Kinds of values that are refused where a template prints one.
_REFUSED: ContextVar[tuple[type, ...]] = ContextVar("refused", default=())
#: What Python spells in a way of its own.
NO_TEXTS = (bool, dict, bytes, date, time)
#: ... and lists, which a target may be: lm-eval reads it back.
NO_TEXTS_OR_LISTS = (*NO_TEXTS, list, tuple)


@contextmanager
def templates_compiled_once() -> Iterator[None]:
    """Within this block lm-eval keeps the templates that it compiled; the texts are the same.

    The one place where lm-eval is changed instead of called, and only for the block (what it reads
    files with is changed in :mod:`steelyard.harness.suites.local_files`): its
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


@contextmanager
def refusing(kinds: tuple[type, ...]) -> Iterator[None]:
    """Within this block a template prints no value of these kinds."""
    before = _REFUSED.set(kinds)
    try:
        yield
    finally:
        _REFUSED.reset(before)


@lru_cache(maxsize=4096)
def _compiled(template: str) -> Template:
    from jinja2 import nodes

    environment = _environment()
    tree = environment.parse(template)
    for concatenation in tree.find_all(nodes.Concat):  # a ~ b, which finalize does not see
        concatenation.nodes = [
            nodes.Filter(part, _PRINTED, [], [], None, None, lineno=part.lineno)
            for part in concatenation.nodes
        ]
    for loop in tree.find_all(nodes.For):
        loop.iter = nodes.Filter(loop.iter, _COUNTED, [], [], None, None, lineno=loop.lineno)
    code = environment.compile(tree)
    compiled: Template = environment.template_class.from_code(
        environment, code, environment.make_globals(None)
    )
    return compiled


@cache
def _environment() -> Environment:
    """lm-eval's own, but for what it prints of a value."""
    from jinja2 import pass_eval_context
    from lm_eval.utils import env

    environment: Environment = env.overlay(finalize=_printed)
    join = env.filters["join"]

    @pass_eval_context
    def joined(
        context: EvalContext, values: Iterable[object], *arguments: Any, **named: Any
    ) -> Any:
        if not named and len(arguments) < 2:  # no attribute of the values is meant
            values = [_printed(value) for value in values]
        return join(context, values, *arguments, **named)

    class Bounded(environment.template_class):  # type: ignore[name-defined]
        """A template that takes so many turns and so much memory each time it is filled in."""

        def render(self, *arguments: Any, **named: Any) -> str:
            before = _TURNS.set([MOST_TURNS])
            try:
                with memory_limit(MOST_MEGABYTES, _too_large()):
                    return str(super().render(*arguments, **named))
            finally:
                _TURNS.reset(before)

    environment.template_class = Bounded
    own = {"join": joined, _PRINTED: _printed, _COUNTED: _counted}
    environment.filters = {**env.filters, **own}
    return environment


def _too_large() -> DataError:
    return DataError(
        f"a template takes more than {MOST_MEGABYTES:,} MB of memory for one document",
        fix="take out of it what repeats a text ever so often",
    )


def _counted(values: Any) -> Any:
    """What a loop goes over. Raises ``DataError`` once all loops together turned too often."""
    left = _TURNS.get([MOST_TURNS])
    if isinstance(values, Sized) and not isinstance(values, range):
        # ``loop.length`` and the like are asked of the thing itself.
        _turn(left, len(values))
        return values
    return _turning(values, left)


def _turning(values: Iterable[object], left: list[int]) -> Iterator[object]:
    for value in values:
        _turn(left, 1)
        yield value


def _turn(left: list[int], count: int) -> None:
    left[0] -= count
    if left[0] < 0:
        raise DataError(
            f"a template's loops turn more than {MOST_TURNS:,} times for one document",
            fix="take a loop out of it",
        )


def _printed(value: object) -> object:
    """What a template prints of an expression's value. Raises ``DataError`` for NaN."""
    if type(value) is str:  # nearly every value: no other test may apply to it
        return value
    if value is None:
        return ""
    if isinstance(value, float) and not math.isfinite(value):
        fix = "write null where there is no number"
        raise DataError("a template prints a number that is none", value=value, fix=fix)
    refused = _REFUSED.get()
    if isinstance(value, refused):
        if isinstance(value, bool):
            fix = "say which words are meant: {{ 'yes' if x else 'no' }}"
            raise DataError("a template prints true or false as Python does", value=value, fix=fix)
        if isinstance(value, list | tuple | dict):
            fix = "print what is in it: {{ x | join(', ') }}, or a loop"
            raise DataError("a template prints a list as Python does", value=value, fix=fix)
        what = f"a template prints a {type(value).__name__} as Python does"
        raise DataError(what, value=value, fix="write it in the file as the text that is meant")
    return value
