"""Does a model say the same thing twice: across wordings, and across samples of one answer."""

import math
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from typing import Any

from steelyard.harness.texts import split_unspaced
from steelyard.tasks.probes.closed_book import graded
from steelyard.tasks.probes.requests import Doc
from steelyard.tasks.probes.texts import abstains, first_line, normalised


def clustered(answer: str) -> str:
    """The cluster of a short answer: its normalised text; every abstention is one cluster."""
    return "" if abstains(answer) else normalised(first_line(answer))


def agreement(answers: Sequence[str]) -> float:
    """Share of pairs of answers that are the same after ``clustered``."""
    clusters = [clustered(answer) for answer in answers]
    alike = [a == b for a, b in combinations(clusters, 2)]
    return sum(alike) / len(alike)


def discrete_semantic_entropy(clusters: Sequence[object]) -> float:
    """Entropy of the share of samples in each cluster, nats, 0 to ln k.

    The discrete form, which needs no token probabilities [Farquhar et al. 2024, Nature 630, 625].
    """
    shares = [count / len(clusters) for count in Counter(clusters).values()]
    return sum(-share * math.log(share) for share in shares)


def selfcheck_ngram(answer: str, samples: Sequence[str]) -> float | None:
    """Mean surprise of the answer's words under the samples' own words, nats; None without words.

    The unigram variant of SelfCheckGPT [Manakul et al. 2023, arXiv 2303.08896]: a unigram model of
    the samples with the answer itself, add-one smoothed; higher is less consistent.
    """
    own = _words(answer)
    if not own:
        return None
    counts = Counter(own)
    for sample in samples:
        counts.update(_words(sample))
    total = sum(counts.values()) + len(counts)
    return sum(-math.log((counts[word] + 1) / total) for word in own) / len(own)


def _words(answer: str) -> list[str]:
    """An answer's words; characters where no space parts them."""
    words = normalised(first_line(answer)).split()
    return [part for word in words for part in split_unspaced(word)]


def self_consistency(doc: Doc, results: Sequence[str]) -> dict[str, Any]:
    """Of a greedy answer and its samples: entropy, surprise, and risk-coverage by the entropy.

    Confidence is 1 - entropy / ln k, of k samples; an abstention comes last, at confidence 0.
    """
    greedy, samples = results[0], results[1:]
    entropy = discrete_semantic_entropy([clustered(sample) for sample in samples])
    grade = graded(doc, greedy)
    surprise = selfcheck_ngram(greedy, samples)
    correct, sure = grade["correct"], 1.0
    if grade["abstained"] or not normalised(first_line(greedy)):
        sure = 0.0
    elif len(samples) > 1:
        sure = 1 - entropy / math.log(len(samples))
    values: dict[str, Any] = {
        "correct": correct,
        "semantic_entropy": entropy,
        "aurc": (min(1.0, max(0.0, sure)), correct),
    }
    return values if surprise is None else values | {"selfcheck_ngram": surprise}
