"""What a task prints of a document: texts and numbers, and nothing where the document has nothing.

lm-eval prints the word None for null, in a prompt and as the answer to hold against. Here the first
is the empty text, and the second is refused by the document's row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from steelyard.harness.errors import DataError
from steelyard.harness.suites.templates import NO_TEXTS, NO_TEXTS_OR_LISTS, refusing

#: Builders of ``datasets`` for plain files, with ``data_files`` of their own.
_OF_FILES = ("csv", "json", "text", "parquet", "arrow")
#: By method: what a template over the user's own file must not print.
_REFUSED = {"doc_to_text": NO_TEXTS_OR_LISTS, "doc_to_target": NO_TEXTS}


class Asked(Protocol):
    """What is looked at of a task."""

    config: Any
    chosen_documents: Sequence[Any]
    is_asked: bool


def printed(name: str, task: Asked, document: object, render: Callable[[], Any]) -> Any:
    """What ``render``, the task's own method called ``name``, gives of ``document``.

    Raises ``DataError`` with the document's row where a target or a choice is null, or where a
    template over the user's own file prints a list, an object, or true and false.
    """
    try:
        with refusing(_REFUSED.get(name, ()) if _has_own_file(task) else ()):
            return _without_none(name, render(), task)
    except DataError as error:
        path, place = _place_of(document, task)
        what = f"{place}: {error.message}"
        raise DataError(what, file=path, value=error.value, fix=error.fix) from None


def _without_none(name: str, value: Any, task: Asked) -> Any:
    if name == "doc_to_text":
        if isinstance(value, NO_TEXTS_OR_LISTS) and _has_own_file(task):
            fix = "print what is meant of it with a template"
            raise DataError("the prompt is a column that holds no text", value=value, fix=fix)
        return "" if value is None else value
    if name == "doc_to_choice":
        choices = list(value) if isinstance(value, list | tuple) else []
        if task.is_asked and None in choices:
            fix = "give it a text, or leave the choice out"
            raise DataError(f"choice {choices.index(None) + 1} is null", fix=fix)
    elif isinstance(value, NO_TEXTS) and _has_own_file(task) and not _chooses(task):
        fix = "write in the file which words are right"
        raise DataError("the target is no text", value=value, fix=fix)
    elif value is None and _compares_with_target(task):
        raise DataError("the target is null", fix="give it one, or leave the row out")
    return value


def _has_own_file(task: Asked) -> bool:
    """Whether its documents are of the user's own file, and not of a published data set."""
    if getattr(task.config, "custom_dataset", None) is not None:
        return True
    options = getattr(task.config, "dataset_kwargs", None) or {}
    return getattr(task.config, "dataset_path", None) in _OF_FILES and "data_files" in options


def _chooses(task: Asked) -> bool:
    """Whether a target is the place of a choice, which true and false may be too."""
    return getattr(task.config, "output_type", None) == "multiple_choice"


def _compares_with_target(task: Asked) -> bool:
    """Whether lm-eval itself holds answers against the target that the configuration names."""
    names_target = isinstance(getattr(task.config, "doc_to_target", None), str)
    return names_target and getattr(task.config, "process_results", None) is None


def _place_of(document: object, task: Asked) -> tuple[object | None, str]:
    """The file and the row that a document came from, as far as that is known."""
    place_of = getattr(getattr(task.config, "custom_dataset", None), "place_of", None)
    where = None if place_of is None else place_of(document)
    if where is not None:
        file, row = where
        return file, row
    name = getattr(task.config, "task", "the task")
    for number, other in enumerate(task.chosen_documents, start=1):
        if other == document:
            return None, f"document {number} of '{name}'"
    return None, f"a document of '{name}'"
