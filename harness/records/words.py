"""Words that reach disk: closed lists, and the names that one room writes and another reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Final, Literal

#: Of runs, manifests and baseline files; ``steelyard.harness.files.version_1`` reads the first.
SCHEMA_VERSION: Final = 2

Grade = Literal["measured", "estimated", "unavailable"]
Kind = Literal["accuracy", "bounded", "corpus", "perplexity", "calibration", "ratio"]
Tier = Literal["block", "warn", "report"]
RuleVerdict = Literal["pass", "fail", "inconclusive", "not_comparable"]
#: ``identical``: every row is the same in both runs.
DeltaVerdict = Literal["better", "not_worse", "worse", "inconclusive", "identical"]
Scale = Literal["nats", "bits"]
#: Whose rule puts special tokens around a text, where the two rules give different tokens.
Parity = Literal["steelyard", "lm-eval"]

#: Families of metrics that a room treats as such; a task may name one of its own besides.
QUALITY = "quality"
RETENTION = "retention"
HALLUCINATION = "hallucination"
SUMMARISATION = "summarisation"
TRANSLATION = "translation"
LANGUAGE_MODELLING = "language_modelling"
CALIBRATION = "calibration"
SAFETY = "safety"
IMPORTED = "imported"
PREFERENCE = "preference"
#: Names of a task and of its family: how far a model is from its parent, and what answering costs.
FIDELITY = "fidelity"
COST = "cost"
#: Families that measure a checkpoint against its own parent, not against the baseline.
DIVERGENCE = (FIDELITY, "divergence")
#: Units of a score that is a share between 0 and 1, and of one that is none and names no unit.
SHARES: Final = (None, "share", "0..1")
OWN_UNIT: Final = "units"
#: The slice by whether a sample is in the checkpoint's training data: ``yes`` or ``no``.
IN_TRAINING_DATA = "in_training_data"


class Flag(StrEnum):
    """What is peculiar about one sample's row; a closed list, in the words that reach disk."""

    LENGTH_LIMIT = "length limit"
    """A generation ran into its length limit; the row counts all the same."""
    PROMPT_CUT = "prompt cut"
    """A prompt longer than the model's window lost its beginning; the row counts all the same."""
    UNSCORED = "unscored"
    """The metric gave no row and no reason."""
    NOT_A_NUMBER = "NaN"
    NOT_FINITE = "not finite"
    """A log-likelihood that is NaN or infinite."""
    TIED = "tied"
    """Every choice has the same log-likelihood: the first would win, whatever it says."""
    FIRST_OF_TIED = "right and wrong choice tied"
    """Of choices that are equally likely the first is taken; the row counts all the same."""
    ONE_ANSWER = "one answer to everything"
    ONE_CHOICE = "fewer than two choices"
    EMPTY_CHOICE = "choice without a token"
    """A choice that asks the model for nothing is certain: it would win, whatever the others."""
    BAD_LABEL = "label outside the choices"
    EMPTY_REFERENCE = "empty reference"
    """No right answer, or none with a word that the metric counts."""
    EMPTY_QUESTION = "empty question"
    """The document fills nothing of the task's template: nothing was asked."""
    TOO_SHORT = "right answers too short"
    """No right answer of the task is as long as what the metric counts."""
    NO_SPACES = "text without spaces"
    """The metric counts words by spaces, which these texts do not have."""
    BLANK_CHOICE = "choice without a text"
    """What a blank has for a log-likelihood says nothing of the other choices."""
    RIGHT_TWICE = "right choice stands twice"
    """An earlier choice has the right one's text and counts as wrong."""
    NO_MATCH = "nothing for the filter to take"
    """The task's filter found no answer in the text; the row counts all the same."""
    OWN_ANSWER = "no other few-shot examples"
    """The pool holds too few examples that do not show the document its own answer."""


_FLAGS = {flag.value: flag for flag in Flag}
_BETWEEN_FLAGS = ", "


def flags_text(flags: Iterable[Flag]) -> str:
    """The flags of one sample as ``Rows.flags`` holds them; empty where there is none."""
    return _BETWEEN_FLAGS.join(flags)


def flags_in(text: str) -> tuple[Flag, ...]:
    """The flags in one entry of ``Rows.flags``; words that are no flag are left out."""
    return tuple(_FLAGS[word] for word in text.split(_BETWEEN_FLAGS) if word in _FLAGS)


#: Signatures whose scores went without one before rules had names. A score without a signature was
#: made by these very rules, or by Python of the task's own that is in the task's digest.
ONCE_UNNAMED = frozenset(
    {"tok:rouge_score|stem:porter|refs:mean", "tok:rouge_score|stem:porter|refs:best"}
)

#: lm-eval's name of the filter that does nothing.
NO_FILTER = "none"


def metric_name(metric: str) -> str:
    """The metric's own name, without the filter that lm-eval names after a comma."""
    return metric.partition(",")[0]


def filter_name(metric: str) -> str | None:
    """The filter that ``metric`` was measured behind; None where the task has one filter only."""
    return metric.partition(",")[2] or None


def stage_name(kind: str, subject: str) -> str:
    """What a stage is called in messages and in ``Failure.stage``: ``train lora``."""
    return f"{kind} {subject}"


def stage_subject(kind: str, stage: str) -> str:
    """Whom a stage of this kind is about; another kind's name as it is."""
    return stage.removeprefix(stage_name(kind, ""))


def stage_log(stage: str) -> str:
    """The name of the log of a stage, by the stage's name: ``train-lora``."""
    return stage.replace(" ", "-")


_LOG_LIKELIHOODS = "log-likelihoods "


def choice_responses(chosen: str, log_likelihoods: Iterable[float]) -> tuple[str, str]:
    """``SampleRecord.responses`` of a choice: the chosen text, and what each choice got."""
    return chosen, _LOG_LIKELIHOODS + ", ".join(map(repr, log_likelihoods))


def log_likelihoods_in(responses: Sequence[str]) -> tuple[str, ...]:
    """The log-likelihoods, as text, in responses of a multiple choice; () where they are others."""
    if len(responses) != 2 or not responses[1].startswith(_LOG_LIKELIHOODS):
        return ()
    texts = responses[1].removeprefix(_LOG_LIKELIHOODS).split(", ")
    try:
        _ = [float(text) for text in texts]
    except ValueError:
        return ()
    return tuple(texts)
