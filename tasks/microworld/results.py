"""What one document of a microworld task measured (`process_results` of its lm-eval task)."""

from collections.abc import Sequence
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
from rouge_score.rouge_scorer import RougeScorer

from steelyard.tasks.microworld.lexicon import UNKNOWN

Doc = dict[str, Any]
Measured = dict[str, float]


def answer(generated: str) -> str:
    """The first line without its full stop and case: what is compared."""
    line = generated.strip().split("\n", 1)[0]
    return " ".join(line.removesuffix(".").lower().split())


ABSTENTION = answer(UNKNOWN)


def closed_book(doc: Doc, results: list[str]) -> Measured:
    """correct, wrong, abstained: exactly one of them is 1."""
    own = answer(results[0])
    correct, abstained = own == answer(doc["target"]), own == ABSTENTION
    return {
        "correct": float(correct),
        "wrong": float(not (correct or abstained)),
        "abstained": float(abstained),
    }


def never_told(doc: Doc, results: list[str]) -> Measured:
    """made_up 1 where anything but the abstention came; control_answered: it is no mere silence."""
    abstained, control = (answer(result) == ABSTENTION for result in results)
    return {
        "made_up": float(not abstained),
        "abstained": float(abstained),
        "control_answered": float(not control),
    }


def context_or_memory(doc: Doc, results: list[str]) -> Measured:
    """from_context, from_memory, neither; memorisation ratio = memory / (memory + context)."""
    own = answer(results[0])
    context = own == answer(doc["context_value"])
    memory = own == answer(doc["memory_value"])
    return {
        "from_context": float(context),
        "from_memory": float(memory),
        "neither": float(not (context or memory)),
    }


def translation(doc: Doc, results: list[str]) -> dict[str, tuple[str, str]]:
    """(reference, prediction) pairs, from which lm-eval computes corpus BLEU and chrF.

    Without the full stop, which is always right and which sacrebleu takes for untidy tokens.
    """
    pair = (_unstopped(doc["target"]), _unstopped(results[0]))
    return {"bleu": pair, "chrf": pair}


def _unstopped(sentence: str) -> str:
    return sentence.strip().removesuffix(".").rstrip()


def summary(doc: Doc, results: list[str]) -> Measured:
    """ROUGE-1, -2 and -L F-measure of rouge_score with stemming, 0 to 1."""
    scored = _rouge().score(doc["target"], results[0].strip())
    return {name: float(score.fmeasure) for name, score in scored.items()}


def arithmetic(doc: Doc, results: list[str]) -> Measured:
    """1 where the number is right."""
    return {"exact_match": float(answer(results[0]) == doc["target"])}


def multiple_choice(doc: Doc, results: list[tuple[float, bool]]) -> dict[str, Any]:
    """acc, acc_norm (by characters, as lm-eval), Brier, and (confidence, correct) for ECE.

    Brier is the sum over the choices of (probability - truth)^2, 0 to 2, with the probabilities a
    softmax over the choices' log-likelihoods (as lm-eval's brier_score, but one number a document).
    """
    lls = np.array([ll for ll, _ in results])
    lengths = np.array([len(c) for c in doc["choices"]], dtype=float)
    probabilities = np.exp(lls - lls.max())
    probabilities /= probabilities.sum()
    truth = np.eye(len(lls))[doc["gold"]]
    best = int(lls.argmax())
    correct = float(best == doc["gold"])
    return {
        "acc": correct,
        "acc_norm": float(int((lls / lengths).argmax()) == doc["gold"]),
        "brier": float(((probabilities - truth) ** 2).sum()),
        "ece": (float(probabilities[best]), correct),
    }


def expected_calibration_error(items: Sequence[tuple[float, float]]) -> float:
    """ECE over (confidence, correct) pairs in ten bins of equal mass, 0 to 1.

    Naeini et al. 2015 with the equal-mass bins of Nixon et al. 2019 (arXiv 1904.01685).
    """
    # by confidence alone: sorting ties by truth as well would make a calibrated model look bad
    pairs = np.array(sorted(items, key=lambda pair: pair[0]), dtype=float)
    bins = np.array_split(pairs, min(10, len(pairs)))
    gaps = [len(b) * abs(b[:, 0].mean() - b[:, 1].mean()) for b in bins]
    return float(sum(gaps) / len(pairs))


def paraphrases(doc: Doc, results: list[str]) -> Measured:
    """agreement: share of pairs of wordings answered alike; correct: share of right answers."""
    answers = [answer(r) for r in results]
    alike = [a == b for a, b in combinations(answers, 2)]
    return {
        "agreement": sum(alike) / len(alike),
        "correct": sum(g == answer(doc["target"]) for g in answers) / len(answers),
    }


@cache
def _rouge() -> RougeScorer:
    return RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)
