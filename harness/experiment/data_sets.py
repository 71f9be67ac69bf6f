"""Reads training data: its columns become roles, and its chats one shape.

A role (``prompt``, ``completion``, ``chosen``, ``rejected``, ``label``) is filled by the column of
the same name, by the column that the experiment file maps to it, or by a template over columns such
as ``"{dialogue}\\n\\nSummary:"``. A value is text, or a chat (:mod:`.chats`); a label is true or
false. What a method could not learn from is found here, before a model is loaded.
"""

from __future__ import annotations

import json
import random
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from steelyard.harness.errors import DataError, located
from steelyard.harness.experiment import chats
from steelyard.harness.experiment.beside import require_nothing_beside, with_columns_beside
from steelyard.harness.files import cell_text, filled, records, template_columns
from steelyard.harness.plugins import DataSource
from steelyard.harness.texts import plain

#: How a label may be written, as JSON or in a CSV cell.
_LABELS = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}
#: Columns that fill a role where none of its own name is there.
_OTHER_NAMES = {"messages": ("conversations", "conversation")}
#: LLaMA-Factory's pairs: what was said before, beside two last turns.
_PAIR = frozenset(("chosen", "rejected"))
_MESSAGES, _TEXT = "messages", "text"
#: Roles that are answers to a prompt.
_ANSWERS = ("completion", "chosen", "rejected")


class Row(dict[str, Any]):
    """Values by role, and where the row comes from."""

    place: str = ""
    """In its file, as ``line 7``."""
    path: Path | None = None

    def like(self, values: Mapping[str, Any]) -> Row:
        """``values`` as a row that comes from where this one does."""
        row = Row(values)
        row.place, row.path = self.place, self.path
        return row


def read_rows(source: DataSource, roles: Sequence[str]) -> list[Row]:
    """Every row of ``source`` as a mapping of role to value.

    Beside a chat stand the ``tools`` that it may call, where the file has them, as JSON.

    Raises:
        DataError: the file is missing, empty, of an unknown kind or not parsable; a role has no
            column; a value is empty or neither text nor chat; an answer teaches nothing; chosen
            equals rejected.
    """
    with located(file=source.path):
        return _mapped_rows(source, roles)


def _mapped_rows(source: DataSource, roles: Sequence[str]) -> list[Row]:
    table = list(records(source.path))
    if not table:
        raise DataError("the file has no rows", fix="check how it was made")
    if source.path.suffix.lower() == ".parquet":
        table = [(place, _without_filled_keys(record)) for place, record in table]
    # Of all rows: a column that only some have, such as Alpaca's "input", is still a column.
    columns = list(dict.fromkeys(name for _, record in table for name in record))
    templates = _templates(source, roles, columns)
    rows = [_row(record, templates, place) for place, record in table]
    for row in rows:
        row.path = source.path
    _refuse_two_kinds(rows)
    _refuse_empty(rows, roles)
    _refuse_equal(rows)
    _refuse_repeated_prompts(rows, roles)
    return rows


def _without_filled_keys(record: Mapping[str, Any]) -> dict[str, Any]:
    """A row of Parquet whose objects have their own keys: there each has the keys of all others.

    A call of a tool would be learnt with every argument of every other tool, as null.
    """

    def own(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: own(inner) for key, inner in value.items() if inner is not None}
        return [own(inner) for inner in value] if isinstance(value, list) else value

    return {column: own(value) for column, value in record.items()}


def _row(record: Mapping[str, Any], templates: Mapping[str, str], place: str) -> Row:
    values = {
        role: _role_value(role, template, record, place) for role, template in templates.items()
    }
    answers = [role for role in _ANSWERS if role in values]
    row = Row(chats.answers_apart(values, answers, place))
    row.place = place
    roles = (_MESSAGES, "prompt", *answers)
    begins = next((role for role in roles if isinstance(row.get(role), list)), None)
    if begins is None:
        require_nothing_beside(record, templates, place)
        return row
    # Without a prompt of its own a preference begins with it in both of its answers.
    beginnings = answers if begins in answers else (begins,)
    row = row.like(with_columns_beside(row, record, beginnings, place))
    if begins == _MESSAGES and row[begins]:
        chats.check_learnt(row[begins], begins, place)
    return row


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
            there = template in record or bool(template_columns(template))
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
    templates = {role: source.columns.get(role) or _column_of(role, columns) for role in roles}
    for role, template in templates.items():
        names = [template] if template in columns else template_columns(template) or [template]
        missing = [name for name in names if name not in columns]
        if missing:
            raise DataError(
                f"no column '{missing[0]}', which the role '{role}' needs",
                fix=f"the columns are: {_listed(columns)}; map one with '{role}: COLUMN'",
            )
    return templates


def _column_of(role: str, columns: Sequence[str]) -> str:
    """The column that fills a role of which the experiment file says nothing."""
    names = (role, *_OTHER_NAMES.get(role, ()))
    if role == "prompt" and set(columns) >= _PAIR:
        names = (role, *_OTHER_NAMES[_MESSAGES])
    return next((name for name in names if name in columns), role)


def _listed(columns: Sequence[str]) -> str:
    """Names of columns; one with spaces at its ends in quotes, or nobody would see them."""
    return ", ".join(name if name == name.strip() else repr(name) for name in columns)


def _role_value(role: str, template: str, record: Mapping[str, Any], place: str) -> object:
    if template not in record and template_columns(template):
        for column in template_columns(template):
            _refuse_written_chat(record.get(column), column, place)
        return filled(template, record, place)
    value = record.get(template)
    if role == "label":
        return _label(value, place)
    if role in (_TEXT, _MESSAGES) or not chats.is_chat(value):
        return _value(role, template, value, place)
    return chats.messages_of(value, template, place)


def _value(role: str, column: str, value: object, place: str) -> object:
    if role == _MESSAGES:
        return [] if value in (None, "", []) else chats.messages_of(value, column, place)
    _refuse_written_chat(value, column, place)
    if value is None or value == []:
        return ""
    if isinstance(value, str):
        return value
    fix = f"write it as text, or use the template '{{{column}}}'"
    try:
        cell_text(value, column, place)
    except DataError as error:  # a template would refuse it too
        fix = error.fix or fix
    raise DataError(f"{place}: '{column}' is neither text nor chat messages", value=value, fix=fix)


def _refuse_written_chat(value: object, column: str, place: str) -> None:
    if chats.is_chat(value):
        fix = f"map it as one: `messages: {column}`"
        raise DataError(f"{place}: '{column}' is a chat, and would be learnt as a list", fix=fix)


def _label(value: object, place: str) -> bool:
    label = _LABELS.get(str(value).strip().lower())
    if label is None:
        raise DataError(
            f"{place}: the label is neither true nor false",
            value=value,
            fix="write true for a good completion and false for a bad one",
        )
    return label


def _refuse_empty(rows: Sequence[Row], roles: Sequence[str]) -> None:
    for role in roles:
        places = [row.place for row in rows if _is_empty(row[role])]
        if places:
            raise DataError(
                f"{len(places)} of {len(rows)} rows have an empty {role} (first: {places[0]})",
                fix="drop or mend these rows",
            )


def _is_empty(value: object) -> bool:
    if isinstance(value, list):
        return not value or chats.is_silent(value[-1])
    return isinstance(value, str) and not plain(value).strip()


def _refuse_two_kinds(rows: Sequence[Row]) -> None:
    """``DataError`` for a chat among plain prompts: libraries take the first row for all."""
    is_chat = isinstance(rows[0].get("prompt"), list)
    other = next((row for row in rows if isinstance(row.get("prompt"), list) != is_chat), None)
    if other is not None:
        kinds = "a plain prompt among chats" if is_chat else "a chat among plain prompts"
        raise DataError(f"{other.place}: {kinds}", fix="write all rows as one kind")


def _refuse_equal(rows: Sequence[Row]) -> None:
    equal = [
        row.place
        for row in rows
        if "chosen" in row and _said(row["chosen"]) == _said(row.get("rejected"))
    ]
    if equal:
        raise DataError(
            f"chosen equals rejected in {len(equal)} of {len(rows)} rows (first: {equal[0]})",
            fix="a preference needs two different answers; drop these rows",
        )


def _said(answer: object) -> object:
    """An answer but for spaces at its ends and the form that its accents are stored in."""
    if isinstance(answer, list):
        return [{**message, "content": _said(message["content"])} for message in answer]
    return unicodedata.normalize("NFC", answer).strip() if isinstance(answer, str) else answer


def _refuse_repeated_prompts(rows: Sequence[Row], roles: Sequence[str]) -> None:
    """``DataError`` where every answer is a text that begins with its whole prompt.

    It would be learnt twice, and as if the model had said it. Chats that do are taken apart; of
    texts it cannot be told whether an answer quotes its prompt on purpose.
    """
    answers = [role for role in _ANSWERS if role in roles]
    if "prompt" not in roles or not answers:
        return
    if all(_repeats(row["prompt"], row[role]) for row in rows for role in answers):
        one = answers[0]
        fix = "take it off the answers"
        if one == "chosen":
            fix += ", or leave 'prompt' out: it is then what both begin with"
        raise DataError(f"every {' and '.join(answers)} begins with its whole prompt", fix=fix)


def _repeats(prompt: object, answer: object) -> bool:
    if not isinstance(prompt, str) or not isinstance(answer, str):
        return False
    return len(answer) > len(prompt) and answer.startswith(prompt)


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
    there |= {role for role in (*_OTHER_NAMES, "prompt") if _column_of(role, list(first)) in first}
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
        fix=f"the columns are: {_listed(list(first))}; map one with 'role: COLUMN'",
    )


def _common(choices: Sequence[Sequence[str]]) -> set[str]:
    return set(choices[0]).intersection(*choices[1:])
