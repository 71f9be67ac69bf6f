"""Where task files lie and what they are called, read as text: no lm-eval, no Python of theirs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import yaml

from steelyard.harness.errors import Collected, ConfigError, located
from steelyard.harness.files import (
    MAX_BYTES,
    ScalarLoader,
    check_expansion,
    numbers_in_another_base,
    ordinary_bytes,
    read_text,
)
from steelyard.harness.files.old_names import own_part

#: What stands in a task's YAML, or in one that tasks include.
_TASK_KEY = re.compile(
    r"^(task|group|output_type|dataset_path|doc_to_text|metric_list):", re.MULTILINE
)
_IGNORED = {"__pycache__", ".ipynb_checkpoints"}
_NAME = re.compile(r"^(task|group):[ \t]*['\"]?([^\s'\"#\[{]+)['\"]?[ \t]*(?:#.*)?$", re.MULTILINE)
_TAGS = re.compile(r"^tag:[ \t]*(\S[^\n#]*)?$((?:\n[ \t]*-[ \t]*\S+)*)", re.MULTILINE)


def package_folder(name: str) -> Path:
    """The folder of an installed package, found without importing it."""
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"no package named {name}", name=name)
    return Path(next(iter(spec.submodule_search_locations)))


def task_files(include: Sequence[str] = ()) -> dict[str, Path]:
    """Name -> YAML file of every task and group of ours and under ``include`` (which wins)."""
    files: dict[str, Path] = {}
    for root in (package_folder("steelyard.tasks"), *map(Path, include)):
        for path in _yaml_files(root):
            if root.name == "tasks" and "suites" in path.relative_to(root).parts:
                continue
            if path.stat().st_size > MAX_BYTES:
                raise ConfigError(f"larger than {MAX_BYTES} bytes", file=path, fix="is it a task?")
            for name in names_in(path.read_text(encoding="utf-8", errors="replace")):
                files[name] = path
    return files


def named_twice(include: Sequence[str]) -> dict[str, tuple[Path, Path]]:
    """Name -> two files under ``include`` that both define it: the last that is read would win."""
    first: dict[str, Path] = {}
    twice: dict[str, tuple[Path, Path]] = {}
    paths = {path.resolve(): path for root in include for path in _yaml_files(Path(root))}
    for path in paths.values():
        for name in names_in(path.read_text(encoding="utf-8", errors="replace")):
            if first.setdefault(name, path) is not path:
                twice.setdefault(name, (first[name], path))
    return twice


def task_tags(include: Sequence[str]) -> frozenset[str]:
    """Every tag of the task files under ``include``: a tag stands for all tasks that have it."""
    names: set[str] = set()
    for path in (path for root in include for path in _yaml_files(Path(root))):
        text = path.read_text(encoding="utf-8", errors="replace")
        names |= names_in(text, tags=True) - names_in(text)
    return frozenset(names)


def task_summary(path: Path) -> dict[str, str]:
    """What a task asks the model for, its family and primary metric, from its YAML as text."""
    content = _content(path, ())
    metadata = content.get("metadata")
    ours = own_part(metadata)[1] if isinstance(metadata, dict) else None
    ours = ours if isinstance(ours, dict) else {}
    listed = content.get("metric_list")
    entry = listed[0] if isinstance(listed, list) and listed else None
    first = entry.get("metric") if isinstance(entry, dict) else None
    return {
        "asks for": str(content.get("output_type") or ("a group" if "group" in content else "")),
        "family": str(ours.get("family") or ""),
        "primary metric": str(ours.get("primary") or first or ""),
    }


def _content(path: Path, chain: tuple[Path, ...]) -> dict[str, object]:
    """The YAML with those that it includes beneath; a function is its name."""

    class Loader(ScalarLoader):
        pass

    Loader.add_constructor("!function", lambda loader, node: str(node.value))
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader)  # noqa: S506  a SafeLoader
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    if not isinstance(content, dict):
        return {}
    beneath = path.parent / str(content.get("include", ""))
    if "include" in content and beneath not in chain:
        return _content(beneath, (*chain, beneath)) | content
    return content


@cache
def lm_eval_names() -> frozenset[str]:
    """Every task, group and tag that lm-eval brings; a second or two, read once."""
    root = package_folder("lm_eval") / "tasks"
    names: set[str] = set()
    for path in _yaml_files(root):
        names |= names_in(path.read_text(encoding="utf-8", errors="replace"), tags=True)
    return frozenset(names)


def _yaml_files(root: Path) -> Iterator[Path]:
    for path in sorted(root.rglob("*.yaml")):
        if _IGNORED & set(path.parts):
            continue
        if path.is_file():
            yield path
        elif path.exists() and not path.is_dir():
            ordinary_bytes(path, ConfigError)  # a pipe, which says so


def check_task_files(folder: Path) -> None:
    """Raise ``ConfigError`` for a task file under ``folder`` that is huge or that expands to it,
    and for what YAML 1.1 makes of a plain word or number: ``[yes, no]`` asks "True" and "False".

    lm-eval itself reads them, and has no limits.
    """
    problems = Collected()
    for path in _yaml_files(folder):
        text = read_text(path)
        try:
            with located(file=path):
                check_expansion(text)
            if not _TASK_KEY.search(text):
                continue  # another file that lies there
            mistakes = [*numbers_in_another_base(text), *_truths_for_choices(text)]
        except (yaml.YAMLError, RecursionError):
            continue  # lm-eval says what is wrong with it
        for mistake in mistakes:
            with problems.of(file=path):
                raise mistake
    problems.raise_any()


def _truths_for_choices(text: str) -> Iterator[ConfigError]:
    """An error for each choice of a task that YAML reads as a truth value."""
    root = yaml.compose(text, yaml.SafeLoader)
    keys = root.value if isinstance(root, yaml.MappingNode) else []
    for key, choices in keys:
        if key.value != "doc_to_choice" or not isinstance(choices, yaml.SequenceNode):
            continue
        for choice in choices.value:
            if choice.tag == "tag:yaml.org,2002:bool":
                yield ConfigError(
                    f"YAML reads the choice {choice.value} as a truth value, and the model would "
                    "be asked another word",
                    key="doc_to_choice",
                    line=choice.start_mark.line + 1,
                    fix=f'write "{choice.value}" in quotes',
                )


def names_in(text: str, tags: bool = False) -> set[str]:
    """Names of the tasks and groups that a YAML text defines, with ``tags`` its tags too."""
    names = {match[2] for match in _NAME.finditer(text)}
    if tags:
        for match in _TAGS.finditer(text):
            inline = (match[1] or "").strip("[] ").split(",")
            listed = [line.strip(" \t-") for line in match[2].splitlines()]
            names |= {name.strip(" '\"") for name in (*inline, *listed)} - {""}
    return names
