"""Reads training data: JSONL, CSV or Parquet, with its columns mapped to roles.

A role (``prompt``, ``completion``, ``chosen``, ``rejected``, ``label``) is filled by the column of
the same name, by the column that the experiment file maps to it, or by a template over columns such
as ``"{dialogue}\\n\\nSummary:"``. A value is text, or a list of chat messages; a label is true or
false. What a method could not learn from is found here, before a model is loaded.
"""

from __future__ import annotations

import json
import random
import string
from collections.abc import Mapping, Sequence
from typing import Any

from steelyard.harness.errors import DataError, located
from steelyard.harness.files import records
from steelyard.harness.plugins import DataSource

Row = dict[str, Any]
#: How a label may be written, as JSON or in a CSV cell.
_LABELS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}


def read_rows(source: DataSource, roles: Sequence[str]) -> list[Row]:
    """Every row of ``source`` as a mapping of role to value.

    Raises:
        DataError: the file is missing, empty, of an unknown kind or not parsable; a role has no
            column; a value is empty or neither text nor messages; chosen equals rejected.
    """
    with located(file=source.path):
        return _mapped_rows(source, roles)


def _mapped_rows(source: DataSource, roles: Sequence[str]) -> list[Row]:
    rows: list[Row] = []
    templates: dict[str, str] | None = None
    empty: dict[str, list[str]] = {role: [] for role in roles}
    equal: list[str] = []
    for place, record in records(source.path):
        if templates is None:
            templates = _templates(source, roles, list(record))
        row = {role: _role_value(role, templates[role], record, place) for role in roles}
        for role in roles:
            value = row[role]
            if value == [] or (isinstance(value, str) and not value.strip()):
                empty[role].append(place)
        if "chosen" in row and row["chosen"] == row.get("rejected"):
            equal.append(place)
        rows.append(row)
    if not rows:
        raise DataError("the file has no rows", fix="check how it was made")
    _refuse(rows, empty, equal)
    return rows


def read_mix(sources: Sequence[DataSource], roles: Sequence[str], seed: int) -> list[Row]:
    """The rows of all sources; a source of weight w counts w times (a seeded part of it for .5)."""
    mixed: list[Row] = []
    for source in sources:
        rows = read_rows(source, roles)
        whole, part = divmod(source.weight, 1.0)
        mixed += rows * int(whole)
        chosen = random.Random(f"{seed}:{source.name}").sample(rows, round(part * len(rows)))
        mixed += chosen
    return mixed


def first_prompt(sources: Sequence[DataSource]) -> str:
    """The prompt of the first row, as an example of what is asked; "" where it is no text."""
    for source in sources[:1]:
        for place, record in records(source.path):
            template = source.columns.get("prompt", "prompt")
            there = all(name in record for name in _named(template))
            value = _role_value("prompt", template, record, place) if there else ""
            return value if isinstance(value, str) else ""
    return ""


def check_data(source: DataSource, roles: Sequence[str]) -> None:
    """Read ``source`` as training would and throw the rows away. Raises ``DataError``."""
    read_rows(source, roles)


def duplicates(rows: Sequence[Row]) -> int:
    """How many rows repeat an earlier one."""
    return len(rows) - len({json.dumps(row, sort_keys=True) for row in rows})


def _templates(source: DataSource, roles: Sequence[str], columns: list[str]) -> dict[str, str]:
    """Role -> column, or template; every column that is named exists."""
    templates = {role: source.columns.get(role, role) for role in roles}
    for role, template in templates.items():
        missing = [name for name in _named(template) if name not in columns]
        if missing:
            there = ", ".join(columns)
            raise DataError(
                f"no column '{missing[0]}', which the role '{role}' needs",
                fix=f"the columns are: {there}; map one with '{role}: COLUMN'",
            )
    return templates


def _named(template: str) -> list[str]:
    if "{" not in template:
        return [template]
    try:
        return [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]
    except ValueError:
        return [template]


def _role_value(role: str, template: str, record: Mapping[str, Any], place: str) -> object:
    if template not in record and "{" in template:
        # Names were checked in the first row; no attribute or index is ever looked up.
        parts = string.Formatter().parse(template)
        return "".join(text + str(record.get(name, "") if name else "") for text, name, *_ in parts)
    value = record.get(template)
    if role == "label":
        return _label(value, place)
    if value is None:
        return ""
    if isinstance(value, str) or _is_messages(value):
        return value
    raise DataError(
        f"{place}: '{template}' is neither text nor chat messages",
        value=value,
        fix=f"write it as text, or use the template '{{{template}}}'",
    )


def _label(value: object, place: str) -> bool:
    label = _LABELS.get(str(value).strip().lower())
    if label is None:
        raise DataError(
            f"{place}: the label is neither true nor false",
            value=value,
            fix="write true for a good completion and false for a bad one",
        )
    return label


def _is_messages(value: object) -> bool:
    return isinstance(value, list) and all(
        isinstance(message, dict) and {"role", "content"} <= set(message) for message in value
    )


def _refuse(rows: Sequence[Row], empty: Mapping[str, list[str]], equal: list[str]) -> None:
    for role, places in empty.items():
        if places:
            raise DataError(
                f"{len(places)} of {len(rows)} rows have an empty {role} (first: {places[0]})",
                fix="drop or mend these rows",
            )
    if equal:
        raise DataError(
            f"chosen equals rejected in {len(equal)} of {len(rows)} rows (first: {equal[0]})",
            fix="a preference needs two different answers; drop these rows",
        )


def roles_for(source: DataSource, choices: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Which of several sets of roles the data offer, for methods that take more than one kind.

    What the experiment file maps counts before what the columns happen to be called.

    Raises:
        DataError: the columns offer none of the sets, or more than one.
    """
    if len(choices) == 1:
        return tuple(choices[0])
    with located(file=source.path):
        return _offered(source, choices)


def _offered(source: DataSource, choices: Sequence[Sequence[str]]) -> tuple[str, ...]:
    _, first = next(records(source.path), ("", {}))
    named = [
        c for c in choices if any(role in source.columns for role in set(c) - _common(choices))
    ]
    there = set(first) | set(source.columns)
    fitting = [c for c in (named or choices) if set(c) <= there]
    # Of kinds that contain one another, such as prompts with and without answers, the fullest.
    fitting = [c for c in fitting if not any(set(c) < set(other) for other in fitting)]
    if len(fitting) == 1:
        return tuple(fitting[0])
    kinds = " or ".join(f"({', '.join(choice)})" for choice in choices)
    if fitting:
        raise DataError(
            f"its columns are both kinds of data at once: {kinds}",
            fix="say which is meant by mapping one of its columns, or drop the others",
        )
    raise DataError(
        f"the method needs {kinds}",
        fix=f"the columns are: {', '.join(first)}; map one with 'role: COLUMN'",
    )


def _common(choices: Sequence[Sequence[str]]) -> set[str]:
    return set(choices[0]).intersection(*choices[1:])
