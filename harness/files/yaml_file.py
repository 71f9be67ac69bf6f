"""Reads a YAML file that a user wrote: duplicate keys, bombs and surprises are one-line errors."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from steelyard.harness.errors import ConfigError, did_you_mean

#: An experiment or policy is a page of text; more is a mistake or an attack.
MAX_BYTES = 1_000_000
#: Aliases let a few lines expand to gigabytes ("billion laughs"); nobody needs this many.
MAX_ALIASES = 50
#: Written out, aliases in aliases may stand for no more values than a long file holds.
MAX_NODES = 100_000
_OPEN = -1

Model = TypeVar("Model", bound=BaseModel)


class ScalarLoader(yaml.SafeLoader):
    """SafeLoader for which a value that is not what its tag says is an error of the YAML's."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """See :class:`yaml.constructor.BaseConstructor`."""
        try:
            return super().construct_object(node, deep)
        except (AttributeError, LookupError, TypeError, ValueError, OverflowError):
            kind = str(node.tag).rpartition(":")[2]
            shown = str(node.value)[:40] if isinstance(node, yaml.ScalarNode) else "this"
            problem = f"{shown!r} is not a {kind}"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from None


class _Loader(ScalarLoader):
    """Refuses duplicate keys instead of keeping the last one in silence."""

    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> dict[Hashable, Any]:
        if not isinstance(node, yaml.MappingNode):  # a tag says that it is one
            problem = "expected `key: value` lines"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable):
                if key in seen:
                    line = key_node.start_mark.line + 1
                    raise ConfigError(f"key '{key}' stands twice (line {line})", fix="remove one")
                seen.add(key)
        return super().construct_mapping(node, deep=deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises ``ConfigError`` in one line."""
    text = read_text(path)
    try:
        if "*" in text:  # no alias without one; and each further reading of a long file costs
            aliases = sum(isinstance(e, yaml.AliasEvent) for e in yaml.parse(text, _Loader))
            if aliases > MAX_ALIASES:
                raise ConfigError(f"more than {MAX_ALIASES} YAML aliases", file=path)
            check_expansion(text, path)
        content = yaml.load(text, _Loader)  # noqa: S506  a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}" if mark else None
        problem = getattr(error, "problem", None) or "not valid YAML"
        raise ConfigError(problem, file=path, key=where, fix="check indents and quotes") from None
    except ConfigError as error:
        raise ConfigError(error.message, file=path, fix=error.fix) from None
    except (RecursionError, ValueError) as error:
        raise ConfigError(f"not readable as YAML: {error}", file=path) from None
    if content is None:
        raise ConfigError("the file is empty", file=path)
    if not isinstance(content, dict):
        raise ConfigError("expected `key: value` lines", file=path, value=type(content).__name__)
    return {str(key): value for key, value in content.items()}


def check_expansion(text: str, path: Path) -> None:
    """Refuse YAML whose aliases stand for more than ``MAX_NODES`` values, or for themselves."""
    root = yaml.compose(text, yaml.SafeLoader)
    if root is not None and _expanded(root, {}) > MAX_NODES:
        raise ConfigError(f"aliases expand to more than {MAX_NODES} values", file=path)


def _expanded(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node stands for once its aliases are written out."""
    if id(node) in known:
        size = known[id(node)]
        if size == _OPEN:
            raise ConfigError("an alias stands for what it is in", fix="write it out")
        return size
    known[id(node)] = _OPEN
    inside: list[yaml.Node] = []
    if isinstance(node, yaml.SequenceNode):
        inside = node.value
    elif isinstance(node, yaml.MappingNode):
        inside = [each for pair in node.value for each in pair]
    known[id(node)] = 1 + sum(_expanded(each, known) for each in inside)
    return known[id(node)]


def read_text(path: Path) -> str:
    """The text of a user's file, with a clear error where it is missing, huge or not UTF-8."""
    if path.is_dir():
        raise ConfigError("is a folder, not a file", file=path)
    if not path.exists():
        neighbours = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        near = did_you_mean(path.name, [n for n in neighbours if Path(n).suffix == path.suffix])
        raise ConfigError("no such file", file=path, fix=near if "did you" in near else None)
    if path.stat().st_size > MAX_BYTES:
        raise ConfigError(f"larger than {MAX_BYTES} bytes", file=path, fix="is it a data file?")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError("not UTF-8 text", file=path) from None


@contextmanager
def allowed_names(file: object) -> Iterator[None]:
    """A name in ``file`` that the system refuses (too long, say) is a ``ConfigError``."""
    try:
        yield
    except UnicodeEncodeError:  # these two Python refuses before the system does
        raise ConfigError("a path holds half a character", file=file) from None
    except ValueError as error:
        if "null" not in str(error):
            raise
        raise ConfigError("a path holds a null character", file=file) from None
    except OSError as error:
        said = error.strerror or str(error)
        raise ConfigError(said, file=file, value=str(error.filename or "")[-60:]) from None


def validated(
    model: type[Model], content: Mapping[str, Any], *, file: object, key: str = ""
) -> Model:
    """``content`` as ``model``; the first thing wrong becomes one ``ConfigError`` line."""
    try:
        return model.model_validate(dict(content))
    except ValidationError as error:
        raise config_error(error, model, file=file, key=key) from None


def config_error(
    error: ValidationError, model: type[BaseModel], *, file: object, key: str = ""
) -> ConfigError:
    """The first of pydantic's errors as one line that names file, key, value and fix."""
    # A misspelt key shows twice, as unknown and as missing; the first is what the user wrote.
    unknown_first = sorted(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    details = unknown_first[0]
    path = ".".join(str(part) for part in details["loc"])
    full_key = ".".join(part for part in (key, path) if part)
    kind = details["type"]
    if kind == "extra_forbidden":
        unknown = str(details["loc"][-1])
        known = _fields_at(model, details["loc"][:-1])
        return ConfigError("unknown key", file=file, key=full_key, fix=did_you_mean(unknown, known))
    if kind == "missing":
        return ConfigError("is required and missing", file=file, key=full_key)
    return ConfigError(_words(details), file=file, key=full_key, value=details["input"])


def _words(details: ErrorDetails) -> str:
    message = details["msg"].removeprefix("Value error, ")
    return message[:1].lower() + message[1:]


def _fields_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """Known keys at ``loc``: follows fields that hold models, also in a list or as an option."""
    current: type[BaseModel] = model
    for part in loc:
        field = current.model_fields.get(str(part))
        current = (_model_in(field.annotation) if field else None) or current
    return [name for name, field in current.model_fields.items() if not field.exclude]


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that an annotation names or contains; None where there is none."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(part) for part in get_args(annotation))
    return next((one for one in found if one is not None), None)
