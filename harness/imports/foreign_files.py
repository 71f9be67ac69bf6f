"""What the files of other tools have in common: any value may stand where another belongs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from steelyard.harness.errors import DataError


@contextmanager
def laid_out(what: str, fix: str) -> Iterator[None]:
    """Whatever stands in a file where something else belongs is one ``DataError``.

    Args:
        what: what the file should be: "a log of inspect_ai".
        fix: what the user does about it.
    """
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        problem = f"is not laid out as {what} ({type(error).__name__}: {error})"
        raise DataError(problem[:300], fix=fix) from error


def as_text(value: object) -> str:
    """A prompt or an answer as text: what is no text as JSON, nothing as the empty text."""
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False)
