"""BLEU, chrF, chrF++ and TER: sacreBLEU's sufficient statistics of each segment as rows.

Statistics add up, so a corpus score is a function of their sum: intervals and paired tests need
no text. Each score carries sacreBLEU's signature [Post 2018].
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import PrivateAttr

from steelyard.harness.errors import MetricError
from steelyard.harness.plugins import Plugin, Sample, TaskTexts
from steelyard.harness.records import Flag, Kind
from steelyard.harness.texts import in_the_form_of
from steelyard.tasks.metrics.tokenizers import (
    BY_SPACES,
    USUAL,
    in_characters,
    require_tokenizer,
    tokenizer_for,
    unspaced_among,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Statistics are counts (and TER's halves and thirds of words); what is nearer to a whole number
#: than this is one.
_NOISE = 1e-4


class CorpusText(Plugin):
    """A corpus score of sacreBLEU from its statistics of each segment (abstract)."""

    kind: ClassVar[Kind] = "corpus"
    replaces_lm_evals: ClassVar[bool] = True
    """Where a task aggregates by lm-eval's function, this value stands in its place."""
    name: str
    higher_is_better: bool = True
    _remark: str | None = PrivateAttr(default=None)

    @property
    def remark(self) -> str | None:
        """What a reader of the score must know of how it fits this task."""
        return self._remark

    def for_task(self, texts: TaskTexts) -> Self:
        """As it measures a task of these texts."""
        return self

    def reason(self, sample: Sample) -> Flag | None:
        """Why a sample has no row."""
        return why_no_row(self.name, sample)

    def _fitted(self, remark: str | None, **options: object) -> Self:
        fitted = self.model_copy(update=options)
        fitted._remark = remark
        return fitted

    def measure(self, sample: Sample, responses: Sequence[Any]) -> tuple[float, ...] | None:
        """Statistics of one (reference or references, hypothesis); None without a reference."""
        pair = references_and_hypothesis(self.name, sample)
        return None if pair is None else self.statistics(*pair)

    def statistics(self, references: Sequence[str], hypothesis: str) -> tuple[float, ...]:
        """Sufficient statistics of one segment against its references."""
        streams = [[reference] for reference in references]
        hypothesis = in_the_form_of(references, hypothesis)
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
    tokenize: str | None = None
    """One of sacreBLEU's tokenizers; None: by the task's language or script, else 13a."""
    lowercase: bool = False
    _is_defined: bool = PrivateAttr(default=True)

    def for_task(self, texts: TaskTexts) -> Self:
        """With the tokenizer of the task's language or script, unless one was asked for.

        Raises ``MetricError`` or ``MissingExtraError`` where the one asked for is not there.
        """
        if self.tokenize is not None:
            require_tokenizer(self.tokenize)
        tokenize = self.tokenize or tokenizer_for(texts)
        if tokenize in BY_SPACES and texts.without_spaces:
            remark = (
                f"tokenizer {tokenize} finds no words in text without spaces: "
                "use tokenize: zh or char, or name the task's language"
            )
            return self._fitted(remark, tokenize=tokenize)
        mixed = unspaced_among(texts) if tokenize in BY_SPACES else None
        advice = f"{mixed}: use tokenize: zh or char, or one task a language" if mixed else None
        fitted = self._fitted(advice, tokenize=tokenize)
        if texts.references and not any(map(fitted._has_four_tokens, texts.references)):
            fitted._is_defined = False
            fitted._remark = "no right answer has four tokens: BLEU is not defined, see chrF"
        return fitted

    def statistics(self, references: Sequence[str], hypothesis: str) -> tuple[float, ...]:
        """Statistics of one segment; apart from a task, by the script of its own references."""
        if self.tokenize is None:
            return self.for_task(TaskTexts(tuple(references))).statistics(references, hypothesis)
        return super().statistics(references, hypothesis)

    def signature(self, samples: Sequence[Sample]) -> str:
        """sacreBLEU's signature with the number of references."""
        if self.tokenize is None:
            return self.for_task(texts_of(self.name, samples)).signature(samples)
        return super().signature(samples)

    def measure(self, sample: Sample, responses: Sequence[Any]) -> tuple[float, ...] | None:
        """Statistics of one segment; None without a reference, or where no task's has 4 tokens."""
        return super().measure(sample, responses) if self._is_defined else None

    def reason(self, sample: Sample) -> Flag | None:
        """Why a sample has no row."""
        return super().reason(sample) if self._is_defined else Flag.TOO_SHORT

    def _has_four_tokens(self, reference: str) -> bool:
        # Of fewer there is no 4-gram, and sacreBLEU gives 0 to a perfect translation.
        return len(self._scorer()._preprocess_segment(reference).split()) >= 4

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
        return _bleu(self.tokenize or USUAL, self.lowercase)


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

    def for_task(self, texts: TaskTexts) -> Self:
        """The same, with a remark where its words are whole sentences."""
        remark = "words are whole sentences in text without spaces: see chrF"
        return self._fitted(remark if texts.without_spaces else unspaced_among(texts))


class Ter(CorpusText):
    """Translation edit rate [Snover et al. 2006]: edits per reference word, lower is better.

    Rows are (fewest edits, mean reference length).
    """

    name: str = "ter"
    higher_is_better: bool = False
    case_sensitive: bool = False
    tokenize: Literal["tercom", "asian", "char"] | None = None
    """``asian``: Tercom's, which cuts Chinese and kanji; ``char``: each character."""

    def for_task(self, texts: TaskTexts) -> Self:
        """Cut into words as the task's language or script needs it."""
        words = {"zh": "asian", "char": "char"}
        tokenize = self.tokenize or words.get(tokenizer_for(texts), "tercom")
        remark = None
        if tokenize == "tercom":
            remark = "words are whole sentences here: use tokenize: asian or char"
            remark = remark if texts.without_spaces else unspaced_among(texts)
        return self._fitted(remark, tokenize=tokenize)

    def statistics(self, references: Sequence[str], hypothesis: str) -> tuple[float, ...]:
        """(fewest edits, mean reference length) of one segment."""
        if self.tokenize is None:
            return self.for_task(TaskTexts(tuple(references))).statistics(references, hypothesis)
        if self.tokenize == "char":
            references = [in_characters(reference) for reference in references]
            hypothesis = in_characters(in_the_form_of(references, hypothesis))
        return super().statistics(references, hypothesis)

    def signature(self, samples: Sequence[Sample]) -> str:
        """sacreBLEU's signature, which says where characters were counted in place of words."""
        if self.tokenize is None:
            return self.for_task(texts_of(self.name, samples)).signature(samples)
        signature = super().signature(samples)
        if self.tokenize != "char":
            return signature
        return signature.replace("tok:tercom", "tok:char")

    def aggregate_sums(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """(m, 2) summed statistics -> (m,) scores, sacreBLEU's formula on whole columns."""
        import numpy as np

        edits, words = _checked_sums(sums, 2).T
        without = np.where(edits > 0, 1.0, 0.0)
        rates: NDArray[np.float64] = np.divide(edits, words, out=without, where=words > 0)
        return 100.0 * rates

    def _scorer(self) -> Any:
        return _ter(self.case_sensitive, self.tokenize == "asian")


def _checked_sums(sums: NDArray[np.float64], columns: int) -> NDArray[np.float64]:
    if sums.ndim != 2 or sums.shape[1] != columns:
        raise ValueError(f"expected (m, {columns}) sums, got {sums.shape}")
    return sums


def _counts(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums as the counts they are: resampled ones carry rounding noise, and zero means zero."""
    import numpy as np

    whole = np.rint(sums)
    return np.maximum(np.where(np.abs(sums - whole) < _NOISE, whole, sums), 0.0)


def texts_of(name: str, samples: Sequence[Sample]) -> TaskTexts:
    """The references of these samples, for a metric that no task was named to."""
    pairs = (references_and_hypothesis(name, sample) for sample in samples)
    return TaskTexts(tuple(reference for pair in pairs if pair for reference in pair[0]))


def references_and_hypothesis(name: str, sample: Sample) -> tuple[list[str], str] | None:
    """The pair that a task gives for a text metric; None where either is missing.

    A reference that is None, NaN or empty is none, and an answer that is None was not given:
    neither is the word "None". Of several references those that are there count, as in sacreBLEU.

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
    listed = references if isinstance(references, (tuple, list)) else [references]
    if any(isinstance(text, (tuple, list, Mapping)) for text in [*listed, hypothesis]):
        raise MetricError(
            f"task '{sample.task}': metric '{name}' needs texts, not lists of texts",
            value=value,
            fix="give it one answer, and the references as one list",
        )
    texts = [str(reference) for reference in listed if not _is_missing(reference)]
    if not texts or _is_missing(hypothesis, empty=False):
        return None
    return texts, str(hypothesis)


def why_no_row(name: str, sample: Sample) -> Flag | None:
    """Why a pair of a text metric has no row: it has no reference, or (None) no answer."""
    value = sample.values.get(name)
    is_answered = isinstance(value, (tuple, list)) and not _is_missing(value[1], empty=False)
    return Flag.EMPTY_REFERENCE if is_answered else None


def _is_missing(text: object, *, empty: bool = True) -> bool:
    """Whether there is no text; with ``empty``, or nothing but white space."""
    if text is None or (isinstance(text, float) and math.isnan(text)):
        return True
    return empty and not str(text).strip()


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
def _ter(case_sensitive: bool, asian: bool) -> Any:
    from sacrebleu.metrics import TER

    # Tercom cuts Asian text only where it normalises as well.
    return TER(case_sensitive=case_sensitive, normalized=asian, asian_support=asian)
