"""Reads a YAML file that a user wrote: its values, their lines, and an error for what surprises."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from steelyard.harness.errors import (
    Collected,
    ConfigError,
    SteelyardError,
    did_you_mean,
    located,
)
from steelyard.harness.files.ordinary import ordinary_bytes

#: An experiment or policy is a page of text; more is a mistake or an attack.
MAX_BYTES = 1_000_000
#: Aliases let a few lines expand to gigabytes ("billion laughs"); nobody needs this many.
MAX_ALIASES = 50
#: Written out, aliases in aliases may stand for no more values than a long file holds.
MAX_NODES = 100_000
_OPEN = -1
_MERGE = "tag:yaml.org,2002:merge"
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
#: A leading zero makes a whole number octal to YAML 1.1, a colon one in base 60.
_OTHER_BASE = re.compile(r"[-+]?(0[0-7_]+|[0-9_]+(:[0-5]?[0-9])+(\.[0-9_]*)?)")
_INDEX = re.compile(r"\[(\d+)\]")

LineOf = Callable[[str], int | None]


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
    """Refuses duplicate keys instead of keeping the last one in silence, and numbers that YAML 1.1
    reads in another base than they are written in: ``010`` is 8 there, ``1:30`` is 90.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.mistakes: dict[int, ConfigError] = {}  # by line; a mapping may be built twice

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        mistake = _in_another_base(node)
        if mistake is not None and mistake.line is not None:
            self.mistakes[mistake.line] = mistake
        return super().construct_scalar(node)

    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> dict[Hashable, Any]:
        if not isinstance(node, yaml.MappingNode):  # a tag says that it is one
            problem = "expected `key: value` lines"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            if key_node.tag == _MERGE:
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable):
                if key in seen:
                    line = key_node.start_mark.line + 1
                    self.mistakes[line] = ConfigError(
                        f"key '{key}' stands twice", line=line, fix="remove one"
                    )
                seen.add(key)
        return super().construct_mapping(node, deep=deep)


@dataclass(frozen=True)
class YamlFile:
    """What a YAML file holds, and on which line each of its keys stands."""

    path: Path
    content: dict[str, Any]
    lines: Mapping[str, int]
    """Line by dotted key: ``candidates.lora.rank``, ``gate.rules.2.margin``; from 1."""

    @classmethod
    def read(cls, path: Path) -> YamlFile:
        """The mapping in the file ``path``.

        Raises:
            ConfigError: the file is missing, huge, empty, no mapping or not YAML; keys that stand
                twice are told all at once.
        """
        text = read_text(path)
        with located(file=path):
            content, root = _parsed(text)
        return cls(path, content, dict(_lines_below(root, "")))

    def line_of(self, key: str) -> int | None:
        """The line of a dotted key (``rules.2.margin`` or ``rules[2].margin``).

        Of a key that is not there, the line of the nearest key around it; None where there is none.
        """
        return _nearest(self.lines, key)

    def reading(self, key: str | None = None) -> AbstractContextManager[None]:
        """Errors within the block that name no file name this one, the key and its line."""
        return located(file=self.path, key=key, line_of=self.line_of)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file; raises as :meth:`YamlFile.read`."""
    return YamlFile.read(path).content


def lines_of(path: Path | str) -> LineOf:
    """Key -> line of the YAML file ``path``, which is read only once an error asks.

    Tags are not looked at, so that a task's ``!function`` is no hindrance.
    """

    def line_of(key: str) -> int | None:
        try:
            root = yaml.compose(read_text(Path(path)), yaml.SafeLoader)
        except (SteelyardError, OSError, ValueError, RecursionError, yaml.YAMLError):
            return None
        return None if root is None else _nearest(dict(_lines_below(root, "")), key)

    return line_of


def numbers_in_another_base(text: str) -> list[ConfigError]:
    """An error for each number in ``text`` that YAML 1.1 reads in another base than ten.

    For files that another library reads, whose tags are not looked at.
    """
    root = yaml.compose(text, yaml.SafeLoader)
    mistakes = [] if root is None else [_in_another_base(node) for node in _scalars(root, set())]
    return [mistake for mistake in mistakes if mistake is not None]


def _scalars(node: yaml.Node, seen: set[int]) -> Iterator[yaml.Node]:
    """Every value below ``node``, those of an alias once."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.ScalarNode):
        yield node
    elif isinstance(node, yaml.CollectionNode):
        for entry in node.value:
            for each in entry if isinstance(entry, tuple) else (entry,):
                yield from _scalars(each, seen)


def _in_another_base(node: yaml.Node) -> ConfigError | None:
    plain = isinstance(node, yaml.ScalarNode) and not node.style and node.tag in _NUMBERS
    if not plain or not _OTHER_BASE.fullmatch(node.value):
        return None
    return ConfigError(
        f"{node.value!r} is a number in another base to YAML",
        line=node.start_mark.line + 1,
        fix=f"write {_in_tens(node.value)}, or '{node.value}' in quotes where text is meant",
    )


def _in_tens(text: str) -> str:
    """How a number with a leading zero is meant; one with a colon may be a time or a ratio."""
    sign = text[:1] if text[:1] in "+-" else ""
    return f"{sign}{text.lstrip('+-').lstrip('0_') or '0'}" if ":" not in text else "it out"


def _nearest(lines: Mapping[str, int], key: str) -> int | None:
    dotted = _INDEX.sub(r".\1", key)
    while dotted and dotted not in lines:
        dotted = dotted.rpartition(".")[0]
    return lines.get(dotted)


def _parsed(text: str) -> tuple[dict[str, Any], yaml.Node]:
    """A mapping and the nodes that it was built from, merged keys among them."""
    try:
        content, root, mistakes = _document_in(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else None
        problem = getattr(error, "problem", None) or "not valid YAML"
        raise ConfigError(problem, line=line, fix="check indents and quotes") from None
    except (RecursionError, ValueError) as error:
        raise ConfigError(f"not readable as YAML: {error}") from None
    problems = Collected()
    problems.errors += mistakes
    problems.raise_any()
    if root is None or content is None:
        raise ConfigError("the file is empty")
    if not isinstance(content, dict):
        raise ConfigError("expected `key: value` lines", value=type(content).__name__)
    return {str(key): value for key, value in content.items()}, root


def _document_in(text: str) -> tuple[object, yaml.Node | None, list[ConfigError]]:
    """The document's value, its nodes, and an error for each mistake in it."""
    if "*" in text:  # no alias without one; and each further reading of a long file costs
        aliases = sum(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, _Loader))
        if aliases > MAX_ALIASES:
            raise ConfigError(f"more than {MAX_ALIASES} YAML aliases")
        check_expansion(text)
    loader = _Loader(text)
    root = loader.get_single_node()
    content = None if root is None else loader.construct_document(root)
    return content, root, list(loader.mistakes.values())


def _lines_below(node: yaml.Node, prefix: str) -> Iterator[tuple[str, int]]:
    """Dotted key and line of everything below ``node``; of a list, the line of each entry."""
    inside: list[tuple[str, yaml.Node, yaml.Node]] = []
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.tag == _MERGE:  # first, so that a key of the mapping's own has its own line
                merged = value.value if isinstance(value, yaml.SequenceNode) else [value]
                for mapping in merged:
                    yield from _lines_below(mapping, prefix)
        inside = [(str(key.value), key, value) for key, value in node.value if key.tag != _MERGE]
    elif isinstance(node, yaml.SequenceNode):
        inside = [(str(index), entry, entry) for index, entry in enumerate(node.value)]
    for name, where, value in inside:
        yield prefix + name, where.start_mark.line + 1
        yield from _lines_below(value, f"{prefix}{name}.")


def check_expansion(text: str) -> None:
    """Refuse YAML whose aliases stand for more than ``MAX_NODES`` values, or for themselves."""
    root = yaml.compose(text, yaml.SafeLoader)
    if root is not None and _expanded(root, {}) > MAX_NODES:
        raise ConfigError(f"aliases expand to more than {MAX_NODES} values")


def _expanded(node: yaml.Node, sizes: dict[int, int]) -> int:
    """How many values a node stands for once its aliases are written out."""
    if id(node) in sizes:
        size = sizes[id(node)]
        if size == _OPEN:
            raise ConfigError("an alias stands for what it is in", fix="write it out")
        return size
    sizes[id(node)] = _OPEN
    inside: list[yaml.Node] = []
    if isinstance(node, yaml.SequenceNode):
        inside = node.value
    elif isinstance(node, yaml.MappingNode):
        inside = [each for pair in node.value for each in pair]
    sizes[id(node)] = 1 + sum(_expanded(each, sizes) for each in inside)
    return sizes[id(node)]


def read_text(path: Path) -> str:
    """The text of a user's file, with a clear error where it is missing, huge or not UTF-8."""
    if not path.exists():
        neighbours = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        near = did_you_mean(path.name, [n for n in neighbours if Path(n).suffix == path.suffix])
        raise ConfigError("no such file", file=path, fix=near if "did you" in near else None)
    if ordinary_bytes(path, ConfigError) > MAX_BYTES:
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
        reason = error.strerror or str(error)
        raise ConfigError(reason, file=file, value=str(error.filename or "")[-60:]) from None
