"""What a file holds as a record: every mistake in it is told at once, each with its line.

``validated(Rule, content, key="gate.rules.2")`` inside ``with yaml_file.reading():`` raises one
error for each key that is wrong, and names the nearest right one.
"""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar, get_args

from steelyard.harness.errors import Collected, ConfigError, did_you_mean, located
from steelyard.harness.files.yaml_file import LineOf

if TYPE_CHECKING:  # a tenth of a second that `steelyard --help` need not wait for
    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails

Model = TypeVar("Model", bound="BaseModel")
Location = tuple[int | str, ...]


def validated(
    model: type[Model],
    content: Mapping[str, object],
    *,
    file: object | None = None,
    key: str = "",
    line_of: LineOf | None = None,
    also: Collection[str] = (),
    context: Mapping[str, object] | None = None,
) -> Model:
    """``content`` as ``model``.

    Args:
        model: a pydantic model.
        content: as the file gives it.
        file: named in errors; None: whoever calls within ``located`` names it.
        key: where in the file ``content`` stands.
        line_of: dotted key -> line of the file.
        also: names that the file may hold beside the model's fields; offered for a misspelt one.
        context: what validators of the model are told, such as the folder that paths start from.

    Raises:
        ConfigError: what is wrong, with the nearest right name; several mistakes as one
            ``SeveralError``.
    """
    from pydantic import ValidationError

    problems = Collected()
    problems.errors += _truths_for_numbers(model, content)
    try:
        made = model.model_validate(dict(content), context=context)
        if not problems.errors:
            return made
    except ValidationError as error:
        before = {each.key for each in problems.errors}
        errors = config_errors(error, model, content, also)
        problems.errors += [each for each in errors if each.key not in before]
    with located(file=file, key=key or None, line_of=line_of):
        problems.raise_any()
    raise AssertionError("a failed validation holds an error")


def _truths_for_numbers(
    model: type[BaseModel], content: Mapping[str, object], around: Location = ()
) -> list[ConfigError]:
    """An error for each number for which the file says yes, on or true: pydantic makes 1 of it."""
    errors: list[ConfigError] = []
    for name, value in content.items():
        field = model.model_fields.get(str(name))
        if field is None:
            continue
        inner = _model_in(field.annotation)
        for place, entry in _entries(value, (*around, name)):
            if isinstance(entry, Mapping) and inner is not None:
                errors += _truths_for_numbers(inner, entry, place)
            elif isinstance(entry, bool) and _is_number(field.annotation):
                fix = "write a number; YAML reads yes, no, on, off, true and false as a truth value"
                key = ".".join(map(str, place))
                errors.append(ConfigError("is a number", key=key, value=entry, fix=fix))
    return errors


def _entries(value: object, place: Location) -> Iterator[tuple[Location, object]]:
    """A value with its place, or each entry of a list."""
    if isinstance(value, list | tuple):
        for index, entry in enumerate(value):
            yield (*place, index), entry
    else:
        yield place, value


def _is_number(annotation: object) -> bool:
    """Whether a type takes numbers, alone or in a list or an alternative, and no truth value."""
    kinds = set(_plain_types(annotation))
    return bool(kinds & {int, float}) and bool not in kinds


def _plain_types(annotation: object) -> Iterator[object]:
    inside = get_args(annotation)
    if not inside:
        yield annotation
    for each in inside:
        yield from _plain_types(each)


def config_errors(
    error: ValidationError,
    model: type[BaseModel],
    content: Mapping[str, object],
    also: Collection[str] = (),
) -> list[ConfigError]:
    """Pydantic's errors as ours: one for each key of ``content`` that is wrong."""
    details = _of_best_branches(error.errors(include_url=False), content)
    unknown = [each for each in details if each["type"] == "extra_forbidden"]
    # A misspelt key shows twice, as unknown and as missing; the first is what the user wrote.
    details = [each for each in details if not _is_misspelt_elsewhere(each, unknown)]
    return [_config_error(each, model, content, also) for each in details]


def _config_error(
    details: ErrorDetails,
    model: type[BaseModel],
    content: Mapping[str, object],
    also: Iterable[str],
) -> ConfigError:
    location, kind = details["loc"], details["type"]
    parts = _written_parts(location, content)
    key = ".".join(str(part) for part in parts) or None
    if kind == "extra_forbidden":
        names = [*_fields_at(model, location[:-1]), *(also if len(location) == 1 else ())]
        return ConfigError("unknown key", key=key, fix=did_you_mean(str(location[-1]), names))
    if kind == "missing":
        return ConfigError(
            "is required and missing", key=".".join(map(str, (*parts, location[-1])))
        )
    message = details["msg"].removeprefix("Value error, ")
    message = message[:1].lower() + message[1:]
    return ConfigError(message, key=key, value=details["input"], fix=_near_choice(details))


def _near_choice(details: ErrorDetails) -> str | None:
    """The choice that was likely meant, where only certain words are allowed."""
    if details["type"] not in ("literal_error", "enum"):
        return None
    choices = re.findall(r"'([^']*)'", str(details.get("ctx", {}).get("expected", "")))
    near = did_you_mean(str(details["input"]), choices)
    return near if near.startswith("did you mean") else None


def _is_misspelt_elsewhere(details: ErrorDetails, unknown: Sequence[ErrorDetails]) -> bool:
    """Whether a missing key is there under an unknown name that resembles it."""
    if details["type"] != "missing":
        return False
    around, name = details["loc"][:-1], str(details["loc"][-1])
    beside = [str(other["loc"][-1]) for other in unknown if other["loc"][:-1] == around]
    return bool(difflib.get_close_matches(name, beside, n=1, cutoff=0.5))


def _written_parts(location: Location, content: object) -> Location:
    """``location`` without the parts that pydantic adds for the alternatives of a type."""
    parts: list[int | str] = []
    for part in location:
        if _holds(content, part):
            content = content[part]  # type: ignore[index]
            parts.append(part)
    return tuple(parts)


def _holds(content: object, part: int | str) -> bool:
    if isinstance(content, Mapping):
        return part in content
    return isinstance(content, list | tuple) and isinstance(part, int) and part < len(content)


def _of_best_branches(
    details: Iterable[ErrorDetails], content: Mapping[str, object]
) -> list[ErrorDetails]:
    """``details`` with one alternative of each type that has several: the one that fits best.

    Of ``str | Weighted`` a mapping with a misspelt key is a wrong ``Weighted``, not a wrong text.
    """
    branches: dict[Location, dict[int | str, list[ErrorDetails]]] = defaultdict(dict)
    for each in details:
        place, branch = _branch(each, content)
        branches[place].setdefault(branch, []).append(each)
    return [
        each
        for place, alternatives in branches.items()
        for each in min(
            alternatives.values(),
            key=lambda errors: (_is_of_another_kind(errors, place), len(errors)),
        )
    ]


def _is_of_another_kind(errors: Iterable[ErrorDetails], place: Location) -> bool:
    """Whether the value at ``place`` is no such thing at all: a number where a text is expected."""
    return any(
        len(each["loc"]) == len(place) + 1 and each["type"].endswith(("_type", "_parsing"))
        for each in errors
    )


def _branch(details: ErrorDetails, content: object) -> tuple[Location, int | str]:
    """Where the first alternative stands, and which; an error without one is alone."""
    location = details["loc"]
    for index, part in enumerate(location):
        if not _holds(content, part):
            if index == len(location) - 1 and details["type"] == "missing":
                break
            return location[:index], part
        content = content[part]  # type: ignore[index]
    return location, details["type"]


def _fields_at(model: type[BaseModel], location: Location) -> list[str]:
    """Known keys at ``location``: follows fields that hold models, also in a list or an option."""
    current: type[BaseModel] = model
    for part in location:
        field = current.model_fields.get(str(part))
        current = (_model_in(field.annotation) if field else None) or current
    return [name for name, field in current.model_fields.items() if not field.exclude]


def _model_in(annotation: object) -> type[BaseModel] | None:
    """The model that an annotation names or contains; None where there is none."""
    from pydantic import BaseModel

    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    models = (_model_in(each) for each in get_args(annotation))
    return next((model for model in models if model is not None), None)
