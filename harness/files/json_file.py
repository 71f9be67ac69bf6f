"""Reads JSON that others wrote: size, nesting, encoding and numbers are one-line errors."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from steelyard.harness.errors import SteelyardError
from steelyard.harness.files.ordinary import ordinary_bytes

#: A results file of 10,000 tasks stays below; a larger one is damage or an attack.
MAX_JSON_BYTES = 256 * 1024 * 1024
#: Each is an object in memory: a few bytes of ``[],`` become a hundred.
MAX_JSON_VALUES = 30_000_000
#: A record of a run or a table of another tool has ten; Python follows nine hundred.
MOST_LEVELS = 100
_MOST_DIGITS = 300


def read_json_object(
    path: Path,
    error: type[SteelyardError],
    *,
    fix: str | None = None,
    non_finite: bool = True,
) -> dict[str, Any]:
    """The object in a JSON file.

    Python writes ``NaN`` and the infinities, which JSON lacks; without ``non_finite`` they, and
    numbers that a float cannot hold, are read as the text that stands there.

    Raises ``error``, in one line, where the file cannot be read, is larger than
    ``MAX_JSON_BYTES``, is not JSON in UTF-8, is nested too deeply, or holds no object.
    """
    try:
        content = limited_bytes(path, error, fix=fix).decode()
        own = {} if non_finite else {"parse_constant": str, "parse_float": _finite_float}
        value = json.loads(content, parse_int=whole, **own)  # type: ignore[arg-type]
        require_shallow(value, content)
    except OSError as problem:
        reason = problem.strerror or str(problem)
        raise error(f"cannot be read: {reason}", file=path, fix=fix) from None
    except (ValueError, RecursionError) as problem:
        raise error(f"cannot be read as JSON ({_short(problem)})", file=path, fix=fix) from None
    if not isinstance(value, dict):
        raise error("holds no JSON object", file=path, value=type(value).__name__, fix=fix)
    return value


def limited_bytes(path: Path, error: type[SteelyardError], *, fix: str | None = None) -> bytes:
    """The bytes of a JSON file. Raises ``error`` where it is absurdly large, and ``OSError``."""
    size = ordinary_bytes(path, error, fix=fix)
    if size > MAX_JSON_BYTES:
        raise error(f"{size} bytes of JSON, more than {MAX_JSON_BYTES}", file=path, fix=fix)
    content = path.read_bytes()
    if size > MAX_JSON_VALUES and sum(map(content.count, (b",", b"[", b"{"))) > MAX_JSON_VALUES:
        raise error(f"more than {MAX_JSON_VALUES:,} values of JSON", file=path, fix=fix)
    return content


def require_shallow(value: object, text: str) -> None:
    """Raise ``ValueError`` for what was read from ``text``, where no walk reaches its end."""
    if text.count("[") + text.count("{") <= MOST_LEVELS:
        return
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MOST_LEVELS):
        parts = (part for outer in level for part in _inside(outer))
        level = [part for part in parts if isinstance(part, dict | list)]
        if not level:
            return
    raise ValueError(f"nested more than {MOST_LEVELS} levels deep")


def _inside(value: dict[str, Any] | list[Any]) -> Iterable[object]:
    return value.values() if isinstance(value, dict) else value


def whole(text: str) -> int | str:
    """A whole number of JSON; one that a float cannot hold stays the text that it is."""
    return int(text) if len(text) <= _MOST_DIGITS else text


def _finite_float(text: str) -> float | str:
    """A number; one that a float cannot hold stays the text that it is."""
    number = float(text)
    return text if number in (float("inf"), float("-inf")) else number


def _short(problem: Exception) -> str:
    return str(problem)[:200]
