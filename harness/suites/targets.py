"""The right answer of a document, where lm-eval 0.4.13 takes it for something else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from steelyard.harness.suites.identity import own_class

if TYPE_CHECKING:
    from lm_eval.api.task import Task


def as_meant(task: Task, target: Any, doc: Any, *template: Any) -> Any:
    """``target`` as the task means it.

    * The number of a choice is whole: 1.0 of a table with gaps is 1.
    * A text that reads like a list of numbers is the text: lm-eval makes a list of it, and
      several right answers of the list, none of which is one
      (EleutherAI/lm-evaluation-harness #3170).
    * Several right answers of generated text are texts.
    """
    if isinstance(target, float) and target.is_integer():
        return int(target) if _by_choice(task) else target
    if not isinstance(target, list) or all(isinstance(part, str) for part in target):
        return target
    if _by_choice(task):
        return [as_meant(task, part, doc) for part in target]
    if task.OUTPUT_TYPE != "generate_until":
        return target
    return _rendered(task, doc, *template) or [str(part) for part in target]


def _rendered(task: Task, doc: Any, template: Any = None) -> str | None:
    """The text of the target's template; None where the target is a field or a function's."""
    from lm_eval.utils import apply_template

    source = task.config.doc_to_target if template is None else template
    if not isinstance(source, str) or source in getattr(task, "features", ()):
        return None
    text: str = apply_template(source, doc)
    return text


def _by_choice(task: Task) -> bool:
    return getattr(task.config, "doc_to_choice", None) is not None


def picks_a_choice(task: Task) -> bool:
    """Whether a generated text is held against a choice that the label names by its place."""
    return task.OUTPUT_TYPE == "generate_until" and _by_choice(task)


def own_results(task: Task) -> bool:
    """Whether the task makes numbers of answers by a function or a class of its own."""
    from lm_eval.api.task import ConfigurableTask

    if own_class(task).process_results is not ConfigurableTask.process_results:
        return True
    if callable(task.config.process_results) or task.multiple_input:
        return True
    return task.OUTPUT_TYPE not in ("multiple_choice", "generate_until")
