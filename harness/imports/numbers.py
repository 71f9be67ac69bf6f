"""Numbers as other tools write them: as text, as ``N/A``, as infinities."""

from __future__ import annotations

import math
from typing import SupportsFloat

#: Two-sided 95% of the normal distribution, where a file gives a standard error and no interval.
Z95 = 1.959963984540054


def number(value: object) -> float | None:
    """A finite number, or None; lm-eval writes ``"N/A"`` for a missing error."""
    if not isinstance(value, str | bytes | SupportsFloat):
        return None
    if isinstance(value, str) and "_" in value:
        return None  # 1_000 is a number to Python alone
    try:
        figure = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return figure if math.isfinite(figure) else None


def whole_number(value: object) -> int | None:
    """A finite number without its fraction, or None."""
    figure = number(value)
    return None if figure is None else int(figure)


def cell_number(value: object) -> float | None:
    """A finite number in a table's cell; true and false are 1 and 0."""
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return float(value.strip().lower() == "true")
    return number(value)
