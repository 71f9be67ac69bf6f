"""Tasks that ask twice: the second questions are built from the model's own first answers.

Such a task names its first pass in its metadata (``first_pass: TASK``) and has a method ``after``:

    class OwnMemory(ConfigurableTask):
        def after(self, doc, answers: Sequence[str]) -> dict:      # the document of the second pass

The first pass asks the *same documents* in the words of another task. Both passes go through the
scorer, so both are journalled and a killed run resumes in either. A sample is what was asked first:
its id holds the document and the first prompt, never the answer, so that two models pair although
their second questions differ. Under plain lm-eval, which has one pass, a document's own fields
stand for the answers.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from steelyard.harness.errors import ConfigError, ScoringError
from steelyard.harness.evaluation.answers import question_of
from steelyard.harness.files.digests import digest_json
from steelyard.harness.task_identity import sample_ids

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance

    from steelyard.harness.task_build import BuiltTask


def with_first_pass(built: BuiltTask, first: BuiltTask) -> BuiltTask:
    """``built`` with its first pass, which asks the documents of ``built``.

    Raises ``ConfigError`` where the first pass gives no texts or nothing can be made of them.
    """
    key = "metadata.steelyard.first_pass"
    if first.output_type != "generate_until":
        said = f"the first pass of '{built.name}' must generate text"
        raise ConfigError(said, key=key, value=first.name, fix="name a generate_until task")
    if not callable(getattr(built.task, "after", None)):
        fix = "name a class with `after(doc, answers)` under class:"
        raise ConfigError(f"task '{built.name}' has a first pass and no `after`", key=key, fix=fix)
    return replace(
        built,
        first=with_documents(first, built.documents),
        task_digest=digest_json([built.task_digest, first.task_digest]),
    )


def with_documents(built: BuiltTask, documents: Sequence[Any]) -> BuiltTask:
    """The task with other documents; the given one is left as it was."""
    task = copy.copy(built.task)
    # A copy shares the lists that lm-eval appends to.
    task._instances = None
    setattr(task, "test_docs" if task.has_test_docs() else "validation_docs", lambda: documents)
    return replace(built, task=task, documents=documents)


def second_pass(
    lm: Any, built: BuiltTask, requests: Sequence[Instance]
) -> tuple[BuiltTask, list[str]]:
    """Ask ``requests`` of the first pass; the task of the second, and its documents' sample ids.

    Raises ``ScoringError`` where a document got no answer.
    """
    asked: dict[int, list[Instance]] = {}
    answers: dict[int, list[str]] = {}
    for request, text in zip(requests, lm.generate_until(list(requests)), strict=True):
        assert request.doc_id is not None
        asked.setdefault(request.doc_id, []).append(request)
        answers.setdefault(request.doc_id, []).append(str(text))
    documents, contents = [], []
    for position, document in enumerate(built.documents):
        if position not in answers:
            raise ScoringError(f"task '{built.name}': document {position} got no first answer")
        documents.append(built.task.after(dict(document), answers[position]))
        arguments = [request.args for request in asked[position]]
        target = built.task.doc_to_target(document)
        contents.append((document, *question_of(built, document, arguments, target)))
    return with_documents(built, documents), sample_ids(contents)
