"""ROUGE of rouge_score with stemming, against one reference or several; 0 to 1.

rouge_score's own tokenizer keeps a-z and 0-9 alone: a perfect Hindi summary has no token and scores
0, and "Žluťoučký" equals "lu ou k". A task with a reference that is not ASCII is therefore measured
by words of any script (:mod:`steelyard.harness.texts`), every sample of it alike; on ASCII text
both give the same tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, ClassVar, Literal, Self

from steelyard.harness.plugins import Sample, Signed, TaskTexts
from steelyard.harness.records import Flag
from steelyard.harness.texts import UNICODE_WORDS, words
from steelyard.tasks.metrics.means import Mean, one_number
from steelyard.tasks.metrics.translation import references_and_hypothesis, why_no_row

TYPES = ("rouge1", "rouge2", "rougeL", "rougeLsum")
Several = Literal["mean", "best"]
Tokenizer = Literal["auto", "unicode", "rouge_score"]


class RougeNumber(Signed):
    """An F-measure that a task made by :func:`rouge`, with what it was made of.

    The task sees one document, the metric all of them: where they call for another tokenizer than
    the document alone did, the metric measures again.
    """

    name: str
    references: tuple[str, ...]
    summary: str
    several: Several
    tokenizer: Tokenizer


class Rouge1(Mean):
    """ROUGE-1 F-measure [Lin 2004]; several references are averaged, or the best one counts.

    A task gives either the number or (references, summary).
    """

    replaces_lm_evals: ClassVar[bool] = True
    name: str = "rouge1"
    several: Several = "mean"
    tokenizer: Tokenizer = "auto"
    """``auto``: rouge_score's where every reference of the task is ASCII, else ``unicode``."""
    stem: bool = True
    """English words are stemmed (Porter), as rouge_score does on request; no other words are."""

    def for_task(self, texts: TaskTexts) -> Self:
        """With the one tokenizer that all samples of the task are measured with."""
        update: dict[str, object] = {"stem": self.stem and texts.primary_language in (None, "en")}
        if self.tokenizer == "auto":
            update["tokenizer"] = "rouge_score" if texts.ascii_only else "unicode"
        return self.model_copy(update=update)

    def measure(self, sample: Sample, responses: Sequence[Any]) -> tuple[float] | None:
        """The summary's F-measure; None without a reference, or without a token in any."""
        value = sample.values.get(self.name)
        if isinstance(value, RougeNumber):
            return self._measured_again(value)
        if not isinstance(value, (tuple, list)):
            return one_number(self.name, sample)
        pair = references_and_hypothesis(self.name, sample)
        return None if pair is None else self._measured(*pair, self.several, "auto")

    def _measured_again(self, number: RougeNumber) -> tuple[float] | None:
        """The number as it is where the task's rules made it: an LCS in Python takes its time."""
        asked = self.tokenizer if number.tokenizer == "auto" else number.tokenizer
        tokenizer = _tokenizer(asked, number.references)
        if number.rules == rules(tokenizer, self.stem, number.several):
            return (float(number),)
        return self._measured(number.references, number.summary, number.several, tokenizer)

    def _measured(
        self, references: Sequence[str], summary: str, several: Several, asked: Tokenizer
    ) -> tuple[float] | None:
        scores = rouge(
            references,
            summary,
            types=(self.name,),
            several=several,
            tokenizer=self.tokenizer if asked == "auto" else asked,
            stem=self.stem,
        )
        return (float(scores[self.name]),) if scores else None

    def reason(self, sample: Sample) -> Flag | None:
        """Why a sample has no row."""
        return why_no_row(self.name, sample)

    def signature(self, samples: Sequence[Sample]) -> str | None:
        """Tokenizer, stemmer and what several references count; None for a task's own numbers."""
        for sample in samples:
            value = sample.values.get(self.name)
            if isinstance(value, RougeNumber):
                asked = self.tokenizer if value.tokenizer == "auto" else value.tokenizer
                tokenizer = _tokenizer(asked, value.references)
                return rules(tokenizer, self.stem, value.several)
            if isinstance(value, (tuple, list)):
                pair = references_and_hypothesis(self.name, sample)
                if pair is not None:
                    return rules(_tokenizer(self.tokenizer, pair[0]), self.stem, self.several)
        return None


class Rouge2(Rouge1):
    """ROUGE-2 F-measure."""

    name: str = "rouge2"


class RougeL(Rouge1):
    """ROUGE-L F-measure: longest common subsequence of the whole texts."""

    name: str = "rougeL"


class RougeLsum(Rouge1):
    """ROUGE-Lsum F-measure: longest common subsequences line by line.

    A text of one line has the ROUGE-L of the whole: sentences are told apart by newlines alone.
    """

    name: str = "rougeLsum"


def rouge(
    references: Sequence[str],
    summary: str,
    *,
    types: Sequence[str] = TYPES,
    several: Several = "mean",
    tokenizer: Tokenizer = "auto",
    stem: bool = True,
) -> dict[str, float]:
    """F-measures of a summary by ROUGE type, for a task's ``process_results``.

    ``auto`` takes words of any script where a reference is not ASCII; within a task all samples
    are then measured so. A reference without a token says nothing and is left out; where none has
    one, the result is empty and the sample unscored.
    """
    chosen = _tokenizer(tokenizer, references)
    scorer = _scorer(tuple(types), chosen, stem)
    scores = [
        scorer.score(reference, summary)
        for reference in references
        if _has_token(chosen, reference)
    ]
    if not scores:
        return {}
    join = max if several == "best" else _mean_over_references
    numbers: dict[str, float] = {}
    for name in types:
        value = join([float(score[name].fmeasure) for score in scores])
        number = RougeNumber(value, rules(chosen, stem, several))
        number.name, number.references, number.summary = name, tuple(references), summary
        number.several, number.tokenizer = several, tokenizer
        numbers[name] = number
    return numbers


def rules(tokenizer: Tokenizer, stem: bool, several: Several) -> str:
    """A signature in sacreBLEU's form."""
    tokens = UNICODE_WORDS if tokenizer == "unicode" else tokenizer
    return f"tok:{tokens}|stem:{'porter' if stem else 'no'}|refs:{several}"


def _tokenizer(asked: Tokenizer, references: Sequence[str]) -> Tokenizer:
    if asked != "auto":
        return asked
    return "rouge_score" if all(map(str.isascii, references)) else "unicode"


def _mean_over_references(values: Sequence[float]) -> float:
    return sum(values) / len(values)


class _UnicodeTokens:
    """rouge_score's tokenizer for any script: the same tokens on ASCII text."""

    def __init__(self, stem: bool) -> None:
        from nltk.stem.porter import PorterStemmer

        self._stemmer = PorterStemmer() if stem else None

    def tokenize(self, text: str) -> list[str]:
        """Words, the English ones of more than three letters stemmed as rouge_score does."""
        tokens = words(text)
        if self._stemmer is None:
            return tokens
        stem = self._stemmer.stem
        return [stem(token) if len(token) > 3 and token.isascii() else token for token in tokens]


def _has_token(tokenizer: Tokenizer, text: str) -> bool:
    """Whether a text has a token."""
    if tokenizer == "unicode":
        return bool(words(text))
    return any(letter.isascii() and letter.isalnum() for letter in text.lower())


@cache
def _scorer(types: tuple[str, ...], tokenizer: Tokenizer, stem: bool) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    own = _UnicodeTokens(stem) if tokenizer == "unicode" else None
    return RougeScorer(list(types), use_stemmer=stem, tokenizer=own)
