"""A task's right answers as texts, before any model has answered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from steelyard.harness.plugins import TaskTexts

if TYPE_CHECKING:
    from lm_eval.api.task import Task

#: What a task must ask for to have right answers that are texts.
_OF_TEXT = ("generate_until", "loglikelihood_rolling")


def task_texts(task: Task, documents: Iterable[object], language: str | None) -> TaskTexts:
    """The right answers of all ``documents``; none for a task that asks for no text."""
    if str(task.OUTPUT_TYPE) not in _OF_TEXT:
        return TaskTexts(language=language)
    texts = (text for document in documents for text in _right_answers(task, document))
    return TaskTexts(tuple(texts), language)


def _right_answers(task: Task, document: object) -> Iterator[str]:
    """The target, and what stands beside it in a list of the document: other right answers."""
    try:
        target = task.doc_to_target(document)
        if getattr(task.config, "doc_to_choice", None) is not None:
            target = task.doc_to_choice(document)[target]
    except Exception:  # whatever the Python of a user's task raises outside of scoring
        return
    texts = list(_strings(target))
    yield from texts
    fields = document.values() if isinstance(document, Mapping) else ()
    for field in fields:
        if isinstance(field, (list, tuple)) and any(text in field for text in texts):
            yield from _strings(field)


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _strings(part)
