"""BLEU, chrF, chrF++ and TER: sacreBLEU's sufficient statistics of each segment as rows.

Statistics add up, so a corpus score is a function of their sum: intervals and paired tests need
no text. Each score carries sacreBLEU's signature [Post 2018].
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from steelyard.harness.errors import MetricError
from steelyard.harness.plugins import Plugin, Sample
from steelyard.harness.records import Kind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Statistics are counts (and TER's halves and thirds of words); what is nearer to a whole number
#: than this is one.
_NOISE = 1e-4


class CorpusText(Plugin):
    """A corpus score of sacreBLEU from its statistics of each segment (abstract)."""

    kind: ClassVar[Kind] = "corpus"
    name: str
    higher_is_better: bool = True

    def measure(self, sample: Sample, responses: Sequence[Any]) -> tuple[float, ...] | None:
        """Statistics of one (reference or references, hypothesis); None without a reference."""
        pair = references_and_hypothesis(self.name, sample)
        return None if pair is None else self.statistics(*pair)

    def statistics(self, references: Sequence[str], hypothesis: str) -> tuple[float, ...]:
        """Sufficient statistics of one segment against its references."""
        streams = [[reference] for reference in references]
        statistics = self._scorer()._extract_corpus_statistics([hypothesis], streams)
        return tuple(float(number) for number in statistics[0])

    def aggregate(self, rows: NDArray[np.float64]) -> float:
        """(n, k) statistics -> corpus score."""
        import numpy as np

        sums = _counts(np.atleast_2d(rows).sum(axis=0))
        return float(self._scorer()._compute_score_from_stats(sums.tolist()).score)

    def signature(self, samples: Sequence[Sample]) -> str:
        """sacreBLEU's signature with the number of references."""
        pairs = [references_and_hypothesis(self.name, sample) for sample in samples]
        counts = {len(pair[0]) for pair in pairs if pair is not None}
        scorer = self._scorer()
        scorer.num_refs = counts.pop() if len(counts) == 1 else -1
        return str(scorer.get_signature())

    def _scorer(self) -> Any:
        raise NotImplementedError


class Bleu(CorpusText):
    """Corpus BLEU of sacreBLEU, 0 to 100 [Papineni et al. 2002; Post 2018].

    Rows are (system length, reference length, n-gram matches 1-4, n-grams 1-4).
    """

    name: str = "bleu"
    tokenize: str = "13a"
    lowercase: bool = False

    def aggregate_sums(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """(m, 10) summed statistics -> (m,) scores: sacreBLEU's formula on whole columns.

        Ten thousand resamples of a corpus cost one call; ``aggregate`` asks sacreBLEU itself.
        """
        import numpy as np

        system, reference, *_ = columns = _counts(_checked_sums(sums, 10)).T
        correct, total = columns[2:6], columns[6:10]
        # Exponential smoothing [Chen & Cherry 2014, method 3]: each zero match halves again, and
        # nothing counts after the first order without any n-gram.
        counted = np.cumprod(total > 0, axis=0).astype(bool)
        halvings = np.cumsum((correct == 0) & counted, axis=0)
        matches = np.where(correct == 0, 0.5**halvings, correct)
        ratios = np.divide(matches, total, out=np.zeros_like(total), where=counted)
        with np.errstate(divide="ignore"):
            logarithms = np.log(100.0 * ratios).sum(axis=0)
            shortness = np.divide(
                reference, system, out=np.full_like(system, np.inf), where=system > 0
            )
        brevity = np.where(system < reference, np.exp(1.0 - shortness), 1.0)
        return np.where(correct.any(axis=0), brevity * np.exp(logarithms / 4.0), 0.0)

    def _scorer(self) -> Any:
        return _bleu(self.tokenize, self.lowercase)


class Chrf(CorpusText):
    """chrF: character n-gram F2, orders 1-6 [Popovic 2015], 0 to 100.

    Rows are (hypothesis, reference, matching n-grams) for each order.
    """

    name: str = "chrf"
    word_order: int = 0
    lowercase: bool = False

    def aggregate_sums(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """(m, k) summed statistics -> (m,) scores, sacreBLEU's formula on whole columns."""
        import numpy as np

        counts = _counts(_checked_sums(sums, 3 * (6 + self.word_order)))
        hypothesis, reference, match = (counts[:, part::3] for part in range(3))
        both = (hypothesis > 0) & (reference > 0)
        orders = np.maximum(both.sum(axis=1), 1)
        none = np.zeros_like(match)
        precision = np.divide(match, hypothesis, out=none.copy(), where=both).sum(axis=1) / orders
        recall = np.divide(match, reference, out=none, where=both).sum(axis=1) / orders
        weighted = 4.0 * precision + recall
        f_score = np.divide(
            5.0 * precision * recall, weighted, out=np.zeros_like(weighted), where=weighted > 0
        )
        scores: NDArray[np.float64] = 100.0 * f_score
        return scores

    def _scorer(self) -> Any:
        return _chrf(self.word_order, self.lowercase)


class ChrfPlusPlus(Chrf):
    """chrF++: chrF with word n-grams of orders 1 and 2 [Popovic 2017]."""

    name: str = "chrf++"
    word_order: int = 2


class Ter(CorpusText):
    """Translation edit rate [Snover et al. 2006]: edits per reference word, lower is better.

    Rows are (fewest edits, mean reference length).
    """

    name: str = "ter"
    higher_is_better: bool = False
    case_sensitive: bool = False

    def aggregate_sums(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """(m, 2) summed statistics -> (m,) scores, sacreBLEU's formula on whole columns."""
        import numpy as np

        edits, words = _checked_sums(sums, 2).T
        without = np.where(edits > 0, 1.0, 0.0)
        rates: NDArray[np.float64] = np.divide(edits, words, out=without, where=words > 0)
        return 100.0 * rates

    def _scorer(self) -> Any:
        return _ter(self.case_sensitive)


def _checked_sums(sums: NDArray[np.float64], columns: int) -> NDArray[np.float64]:
    if sums.ndim != 2 or sums.shape[1] != columns:
        raise ValueError(f"expected (m, {columns}) sums, got {sums.shape}")
    return sums


def _counts(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums as the counts they are: resampled ones carry rounding noise, and zero means zero."""
    import numpy as np

    whole = np.rint(sums)
    return np.maximum(np.where(np.abs(sums - whole) < _NOISE, whole, sums), 0.0)


def references_and_hypothesis(name: str, sample: Sample) -> tuple[list[str], str] | None:
    """The pair that a task gives for a text metric; None where a reference is missing or empty.

    Raises ``MetricError`` where the task gave anything else.
    """
    value = sample.values.get(name)
    if value is None:
        return None
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise MetricError(
            f"task '{sample.task}': metric '{name}' needs (reference, hypothesis)", value=value
        )
    references, hypothesis = value
    if isinstance(hypothesis, (tuple, list)) and len(hypothesis) == 1:
        hypothesis = hypothesis[0]
    listed = [references] if isinstance(references, str) else [str(r) for r in references]
    if not listed or not all(reference.strip() for reference in listed):
        return None
    return listed, str(hypothesis)


@cache
def _bleu(tokenize: str, lowercase: bool) -> Any:
    from sacrebleu.metrics import BLEU

    # force: no advice on tokenised text, which is the caller's choice.
    return BLEU(tokenize=tokenize, lowercase=lowercase, force=True)


@cache
def _chrf(word_order: int, lowercase: bool) -> Any:
    from sacrebleu.metrics import CHRF

    return CHRF(word_order=word_order, lowercase=lowercase)


@cache
def _ter(case_sensitive: bool) -> Any:
    from sacrebleu.metrics import TER

    return TER(case_sensitive=case_sensitive)
