"""Rows in JSON: an object on each line (JSONL), one list of objects, or one object after another.

What is learnt or asked is read strictly: a key that stands twice, ``NaN`` and half of a character
are errors with their line. Results of other tools may hold the latter two: they are what a model
gave.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from steelyard.harness.errors import DataError
from steelyard.harness.files.json_file import MAX_JSON_BYTES, require_shallow, whole
from steelyard.harness.files.text_lines import TextLines

#: An escape that may be half of a character beyond U+FFFF, and such a half once it is read.
_ESCAPED_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_HALF = re.compile("[\ud800-\udfff]")
_SPACE = re.compile(r"[ \t\r\n]*")


def json_rows(lines: TextLines, *, results: bool) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(where, object) of every row. Raises ``DataError`` with the line of what is wrong."""
    decoder = _decoder(results)
    is_first = True
    for line in lines:
        if not line.strip():
            continue
        place = f"line {lines.number}"
        if is_first and (line.lstrip().startswith("[") or _goes_on(line, decoder)):
            first_line = lines.number
            text = line + lines.rest(MAX_JSON_BYTES)
            if line.lstrip().startswith("["):
                yield from _of_list(text, first_line, decoder, results=results)
            else:
                yield from _of_objects(text, first_line, decoder, results=results)
            return
        is_first = False
        yield place, _of_line(line, place, decoder, results=results)


def _decoder(results: bool) -> json.JSONDecoder:
    if results:
        return json.JSONDecoder(parse_int=whole, object_pairs_hook=_without_repeats)
    return json.JSONDecoder(
        parse_int=whole,
        parse_float=_finite,
        parse_constant=_refused_constant,
        object_pairs_hook=_without_repeats,
    )


def _of_line(
    line: str, place: str, decoder: json.JSONDecoder, *, results: bool
) -> Mapping[str, Any]:
    try:
        value = decoder.decode(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{place} is not JSON: {_problem(error)}", fix=_fix(error, line)) from error
    return _checked(value, line, place, results)


def _of_list(
    text: str, line: int, decoder: json.JSONDecoder, *, results: bool
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The objects of one list that begins in ``line``, with their number and their line."""
    at = _after_space(text, text.index("[") + 1)
    first, counted, number = line, 0, 0
    is_open = text[at : at + 1] != "]"
    while is_open:
        number += 1
        line += text.count("\n", counted, at)
        counted = at
        place = f"row {number}, line {line}"
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            is_cut = isinstance(error, json.JSONDecodeError)
            what = f"{place} is not JSON: {_problem(error, first)}"
            raise DataError(what, fix="is the list cut off?" if is_cut else None) from error
        yield place, _checked(value, text[at:end], place, results)
        at = _after_space(text, end)
        is_open = text[at : at + 1] == ","
        if is_open:
            at = _after_space(text, at + 1)
    if text[at : at + 1] != "]":
        raise DataError(f"the list does not end after row {number}", fix="is the file cut off?")
    if text[at + 1 :].strip():
        fix = "a data file is one list of objects, or one object on each line (JSONL)"
        raise DataError(f"more text follows the list of {number} rows", fix=fix)


def _goes_on(line: str, decoder: json.JSONDecoder) -> bool:
    """Whether an object begins in ``line`` that ends in another, or before the line does."""
    try:
        decoder.decode(line)
    except json.JSONDecodeError as error:
        rest = line[error.pos :].strip()
        return line.lstrip().startswith("{") and (not rest or rest.startswith("{"))
    except (ValueError, RecursionError):  # told where the line is read
        return False
    return False


def _of_objects(
    text: str, line: int, decoder: json.JSONDecoder, *, results: bool
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Objects that follow one another, each on as many lines as it likes (as jq prints them)."""
    first, counted, number = line, 0, 0
    at = _after_space(text, 0)
    while at < len(text):
        number += 1
        line += text.count("\n", counted, at)
        counted = at
        place = f"row {number}, line {line}"
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            what = f"{place} is not JSON: {_problem(error, first)}"
            raise DataError(what, fix=_fix(error, "")) from error
        row = _checked(value, text[at:end], place, results)
        at = _after_space(text, end)
        if number == 1 and at == len(text):
            _refuse_list_within(row, place)
        yield place, row


def _refuse_list_within(row: Mapping[str, Any], place: str) -> None:
    """``DataError`` where the file is one object around the list of its rows."""
    name, value = next(iter(row.items()), ("", None))
    if len(row) > 1 or not isinstance(value, list):
        return
    if all(isinstance(each, dict) and not {"role", "from"} & each.keys() for each in value):
        what = f"{place} is one object around a list of rows, '{name}'"
        raise DataError(what, fix="write that list alone: a data file is one list of objects")


def _fix(error: Exception, line: str) -> str | None:
    """What to do; None where the problem, found by a check of ours, says so itself."""
    if not isinstance(error, json.JSONDecodeError):
        return None
    if line.rstrip().endswith("},"):
        return "take the comma off the line's end"
    return "a data file is one JSON object on each line (JSONL), or one list of objects"


def _problem(error: Exception, first: int | None = None) -> str:
    """What the decoder says; ``first`` is the line that a text of several lines begins in."""
    if isinstance(error, json.JSONDecodeError):
        line = "" if first is None else f"line {first + error.lineno - 1}, "
        return f"{error.msg} ({line}column {error.colno})"
    return str(error)


def _after_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return at if match is None else match.end()


def _checked(value: object, text: str, place: str, results: bool) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f"{place} is not a JSON object", fix='write {"column": value, ...}')
    try:
        require_shallow(value, text)
    except ValueError as error:
        raise DataError(f"{place} is {error}") from error
    if value and all(isinstance(column, dict) and "0" in column for column in value.values()):
        fix = "write it with to_json(..., orient='records', lines=True)"
        raise DataError(f"{place} holds columns, not rows, as pandas writes them", fix=fix)
    if not results and _ESCAPED_HALF.search(text):
        require_whole_characters(value, place)
    return value


def require_whole_characters(row: Mapping[str, Any], place: str) -> None:
    """``DataError`` for a column that holds half of a character: no tokenizer can read it."""
    for column, value in row.items():
        half = next(
            (match for text in _texts([column, value]) if (match := _HALF.search(text))), None
        )
        if half is not None:
            raise DataError(
                f"{place}: '{_shown(column)}' holds half of a character "
                f"(\\u{ord(half[0]):04x}, a lone surrogate)",
                fix="cut the text between whole characters, or leave the row out",
            )


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _texts([key, inner])
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _shown(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"{text} is more than a number can hold")
    return number


def _refused_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON; write null, or leave the row out")


def _without_repeats(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key '{twice}' stands twice in an object; keep one")
    return value
