"""A cell as the text that is learnt or asked, and templates over cells: one rule for both.

What has one spelling as text is written so: text, a whole number, a finite number. Nothing (null)
is the empty text. What has none (a list, an object, true and false, a date, bytes, NaN) is refused:
``str()`` would put Python's own spelling of it into a prompt.
"""

from __future__ import annotations

import math
import string
from collections.abc import Mapping
from decimal import Decimal

from steelyard.harness.errors import DataError


def template_columns(template: str) -> list[str]:
    """The columns that a template names in braces; [] for text that is no template."""
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError:  # a lone brace: a column may be called so
        return []
    return [name for _, name, _, _ in parts if name is not None]


def filled(template: str, row: Mapping[str, object], place: str) -> str:
    """``template`` with its columns' texts; a column that the row lacks is empty.

    Only whole columns are looked up, never an attribute or an index. Raises ``DataError`` with the
    place for a value that has no one spelling as text.
    """
    formatter = string.Formatter()
    text = ""
    for literal, name, spec, conversion in formatter.parse(template):
        text += literal
        if name is None:
            continue
        value = row.get(name)
        written = cell_text(value, name, place)
        if conversion or spec:
            try:
                text += format(formatter.convert_field(value, conversion), spec or "")
            except (ValueError, TypeError) as error:
                raise DataError(
                    f"{place}: '{{{name}:{spec}}}' cannot be filled: {error}"
                ) from error
        else:
            text += written
    return text


def cell_text(value: object, column: str, place: str) -> str:
    """The text that a cell is. Raises ``DataError`` where it has no one spelling as text."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if not isinstance(value, bool):
        if isinstance(value, int) or (isinstance(value, Decimal) and value.is_finite()):
            return str(value)
        if isinstance(value, float) and math.isfinite(value) and "e" not in str(value):
            return str(value)
    kind, fix = _kind(value, column)
    raise DataError(f"{place}: '{column}' is {kind}, not text", value=value, fix=fix)


def _kind(value: object, column: str) -> tuple[str, str]:
    """What a value is, in words, and what can be done with it."""
    fix = "write it in the file as the text that is meant"
    if isinstance(value, bool):
        return "true or false", fix
    if isinstance(value, float) and math.isfinite(value):
        return "a number with several spellings", fix
    if isinstance(value, float | Decimal):
        return "no finite number", "write null where there is none, or leave the row out"
    if isinstance(value, bytes):
        return "bytes", fix
    if isinstance(value, list | tuple):
        if value and all(isinstance(entry, Mapping) for entry in value):
            return "a list of objects", f"if it is a chat, map it as one: `messages: {column}`"
        return "a list", "join it to one text in the file"
    if isinstance(value, Mapping):
        return "an object", "give the part that is meant a column of its own"
    return f"a {type(value).__name__}", fix
