"""Closed-book answers: right, wrong or abstained, and how sure the model was of them."""

import math
from collections.abc import Sequence
from typing import Any

from steelyard.harness.errors import DataError
from steelyard.harness.texts import answer_key
from steelyard.tasks.probes.requests import ClassNamed, Doc
from steelyard.tasks.probes.texts import abstains, first_line, matches, signed

#: How sure a model must be for an answer to be worth its risk, where a document does not say.
THRESHOLD = 0.5


def aliases(doc: Doc) -> list[str]:
    """The document's right answers (``answers``, else ``target``). Raises ``DataError``."""
    listed = doc["answers"] if "answers" in doc else [doc.get("target")]
    answers = [str(text) for text in listed if text is not None and answer_key(str(text))]
    if not answers:
        raise DataError("a question without a right answer", key="answers", value=listed)
    return answers


def abstention_score(correct: bool, abstained: bool, threshold: float = THRESHOLD) -> float:
    """+1 for a right answer, 0 for none, -t / (1 - t) for a wrong one.

    Answering pays where the model is right with a probability above t [Kalai et al. 2025, arXiv
    2509.04664]; t = .5 costs a wrong answer what a right one gains. Raises ``DataError`` unless
    0 <= t < 1.
    """
    if not 0 <= threshold < 1:
        raise DataError("a threshold must be at least 0 and below 1", key="t", value=threshold)
    if abstained:
        return 0.0
    return 1.0 if correct else -threshold / (1 - threshold)


def graded(doc: Doc, answer: str) -> dict[str, float]:
    """correct, wrong, abstained (exactly one is 1) and the abstention score of one answer."""
    line = first_line(answer)
    # First of all right: "Unknown Mortal Orchestra" begins as an abstention does.
    correct = matches(line, aliases(doc))
    abstained = not correct and abstains(line)
    threshold = THRESHOLD if doc.get("t") in (None, "") else float(doc["t"])
    score = abstention_score(correct, abstained, threshold)
    grade = {
        "correct": float(correct),
        "wrong": float(not (correct or abstained)),
        "abstained": float(abstained),
        "abstention_score": score,
    }
    return signed(grade)


def closed_book(doc: Doc, results: Sequence[str]) -> dict[str, float]:
    """``graded`` as an lm-eval task's ``process_results``."""
    return graded(doc, results[0])


class OwnAnswer(ClassNamed):
    """Asks for the likelihood of the answer that the model itself gave in the first pass.

    Under plain lm-eval, which has one pass, the answer is the document's right one.
    """

    def after(self, doc: Doc, answers: Sequence[str]) -> Doc:
        """The document with the model's own answer, which the second pass weighs."""
        return doc | {"own_answer": first_line(answers[0])}


def sureness(doc: Doc, results: Sequence[Any]) -> dict[str, Any]:
    """``graded``, and (confidence, correct) for the risk-coverage curve.

    Confidence is the probability of the whole answer, exp(log-likelihood). An abstention answers
    nothing: it comes last, at confidence 0, and covers its question wrongly, so that abstaining on
    everything cannot win.
    """
    own = doc["own_answer"]
    values: dict[str, Any] = dict(graded(doc, own))
    log_likelihood = float(results[0][0] if isinstance(results[0], (tuple, list)) else results[0])
    if values["abstained"] or not own:
        return values | {"aurc": (0.0, 0.0)}
    if not math.isfinite(log_likelihood):
        return values
    return values | {"aurc": (min(1.0, math.exp(log_likelihood)), values["correct"])}
