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

from collections.abc import Sequence
from typing import TYPE_CHECKING

from steelyard.harness.errors import ScoringError
from steelyard.harness.evaluation.answers import question_of
from steelyard.harness.scoring import Scorer
from steelyard.harness.suites import sample_ids, with_documents

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance

    from steelyard.harness.suites import BuiltTask


def second_pass(
    lm: Scorer, built: BuiltTask, requests: Sequence[Instance]
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
