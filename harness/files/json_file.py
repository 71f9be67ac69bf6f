"""Reads JSON that others wrote: size, nesting, encoding and numbers are one-line errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from steelyard.harness.errors import SteelyardError

#: A results file of 10,000 tasks stays below; a larger one is damage or an attack.
MAX_JSON_BYTES = 256 * 1024 * 1024
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
    size = path.stat().st_size
    if size > MAX_JSON_BYTES:
        raise error(f"{size} bytes of JSON, more than {MAX_JSON_BYTES}", file=path, fix=fix)
    return path.read_bytes()


def whole(text: str) -> int | str:
    """A whole number of JSON; one that a float cannot hold stays the text that it is."""
    return int(text) if len(text) <= _MOST_DIGITS else text


def _finite_float(text: str) -> float | str:
    """A number; one that a float cannot hold stays the text that it is."""
    number = float(text)
    return text if number in (float("inf"), float("-inf")) else number


def _short(problem: Exception) -> str:
    return str(problem)[:200]
