"""What a model answered to one document: usable or not, and how it is shown.

``SampleRecord.responses`` holds, by what the model was asked for:

=====================  =======================================================
multiple_choice        the chosen text, then the choices' log-likelihoods
generate_until         the generated texts
loglikelihood          "greedy" or "not greedy", then the log-likelihood
loglikelihood_rolling  the log-likelihood of the text
=====================  =======================================================
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from steelyard.harness.evaluation.window import Window
from steelyard.harness.records import Flag, choice_responses
from steelyard.harness.suites import (
    LENGTHS,
    BuiltTask,
    content_digest,
    picks_a_choice,
    right_choices,
)

#: One of lm-eval's logged samples: ``doc``, ``target``, ``arguments`` and ``resps`` (a list a
#: request), ``filter``, ``metrics`` (names), and each metric's value under its name.
Entry = Mapping[str, Any]

#: lm-eval's default of the most tokens that a generation may have.
_DEFAULT_LIMIT = 256
_MOST_TEXT = 100_000


@dataclass(frozen=True)
class Answer:
    """The answers to one document's requests."""

    prompt: str
    target: str
    raw: tuple[object, ...]
    """As the scorer gave them, one a request."""
    shown: tuple[str, ...]
    unusable: Flag | None = None
    """Why no metric may be measured on this answer."""
    cut: bool = False
    """Whether a generation ran into its length limit."""
    unmatched: bool = False
    """Whether the filter found nothing in a generation, and put its own word there."""
    first_of_tied: bool = False
    """Whether a right and a wrong choice are equally likely, so that their order decides."""
    prompt_cut: bool = False
    """Whether the prompt did not fit the model's window."""


def answer_of(built: BuiltTask, entry: Entry, window: Window) -> Answer:
    """The answer in one of lm-eval's logged samples."""
    answer = _answer(built, entry, window.count_tokens)
    if _is_cut(built, entry["arguments"], window):
        answer = replace(answer, prompt_cut=True)
    # Asked with fewer examples than the task shows: an answer to another question.
    lacking = built.without_examples
    if lacking and content_digest(entry["doc"]) in lacking:
        return replace(answer, unusable=Flag.OWN_ANSWER)
    return answer


def _answer(built: BuiltTask, entry: Entry, count_tokens: Callable[[str], int]) -> Answer:
    kind = built.output_type
    raw = tuple(response for responses in entry["resps"] for response in responses)
    arguments = entry["arguments"]
    prompt, target = question_of(built, entry["doc"], arguments, entry["target"])
    if kind == "multiple_choice":
        choice = _choice(built, entry["doc"], prompt, target, raw)
        if choice.unusable is None and _asks_for_nothing(arguments, raw, count_tokens):
            return replace(choice, unusable=Flag.EMPTY_CHOICE)
        return choice
    if kind == "generate_until":
        cut = any(
            count_tokens(str(text)) >= _token_limit(asked[1])
            for asked, texts in zip(arguments, entry["resps"], strict=True)
            for text in texts
        )
        shown = tuple(map(str, raw))
        # Held against a choice that the label names by its place: -1 would name the last.
        unlabelled = picks_a_choice(built.task) and not right_choices(built.task, entry["doc"])
        bad = Flag.BAD_LABEL if unlabelled else None
        if _asks_nothing(built, entry["doc"]):
            bad = Flag.EMPTY_QUESTION
        return Answer(prompt, target, raw, shown, bad, cut=cut)
    if kind == "loglikelihood":
        value, greedy = raw[0]
        shown = ("greedy" if greedy else "not greedy", repr(float(value)))
        bad = None if _finite([value]) else Flag.NOT_FINITE
        if _asks_for_nothing(arguments, raw, count_tokens):
            bad = Flag.EMPTY_REFERENCE
        return Answer(prompt, target, raw, shown, bad)
    value = float(raw[0])
    bad = None if _finite([value]) else Flag.NOT_FINITE
    return Answer(prompt, target, raw, (repr(value),), bad)


def _asks_for_nothing(
    arguments: Sequence[Sequence[object]],
    raw: Sequence[tuple[float, bool]],
    count_tokens: Callable[[str], int],
) -> bool:
    """Whether a continuation is empty, or of characters that the tokenizer drops.

    Only what came out as certain is looked at. Without a tokenizer none but the empty text is
    known to have no token.
    """
    certain = [str(a[1]) for a, (value, _) in zip(arguments, raw, strict=False) if value == 0]
    if not certain:
        return False
    counted = count_tokens("a") > 0
    return any(not text or (counted and count_tokens(text) == 0) for text in certain)


def _asks_nothing(built: BuiltTask, document: object) -> bool:
    """Whether a template that takes something of a document comes out blank for this one.

    Examples before it do not make it a question.
    """
    template = getattr(built.config, "doc_to_text", None)
    if not isinstance(template, str) or not template.strip():
        return False
    try:
        return not str(built.task.doc_to_text(document)).strip()
    except Exception:  # whatever a user's task raises: its requests were built, so it asked
        return False


def without_match(answer: Answer, entry: Entry, words: Collection[str]) -> Answer:
    """``answer``, marked where the filter put one of its ``words`` for nothing in its place."""
    if not words:
        return answer
    filtered = [
        text
        for response in entry["filtered_resps"]
        for text in (response if isinstance(response, list) else [response])
    ]
    return replace(answer, unmatched=any(str(text) in words for text in filtered))


def _is_cut(built: BuiltTask, arguments: Sequence[Sequence[object]], window: Window) -> bool:
    """Whether one of a document's requests lost a part of its prompt; rolling windows lose none."""
    if built.output_type == "loglikelihood_rolling":
        return False
    if built.output_type == "generate_until":
        return any(window.cuts(str(a[0]), room=_token_limit(a[1])) for a in arguments)
    answers: dict[str, list[str]] = {}
    for prompt, answer, *_ in arguments:
        answers.setdefault(str(prompt), []).append(str(answer))
    return any(window.cuts(prompt, own) for prompt, own in answers.items())


def question_of(
    built: BuiltTask, document: object, arguments: Sequence[Sequence[object]], target: object
) -> tuple[str, str]:
    """The prompt and the right answer of one document, as they stand in its record and its id.

    ``arguments`` are those of its requests, ``target`` what the task gives for the document.
    """
    prompt = "" if built.output_type == "loglikelihood_rolling" else str(arguments[0][0])
    if built.output_type != "multiple_choice":
        return prompt, _target_text(target)
    choices = [str(choice) for choice in built.task.doc_to_choice(document)]
    right = right_choices(built.task, document)
    return prompt, ", ".join(choices[index] for index in right) or _target_text(target)


def _choice(
    built: BuiltTask,
    document: object,
    prompt: str,
    target: str,
    raw: tuple[tuple[float, bool], ...],
) -> Answer:
    choices = [str(choice) for choice in built.task.doc_to_choice(document)]
    # Requests beyond the choices ask for something else, such as the unconditional likelihoods of
    # `acc_mutual_info`.
    values = [float(value) for value, _ in raw][: len(choices)]
    right = right_choices(built.task, document)
    chosen = choices[_first_highest(values)] if _finite(values) else ""
    right_texts = {choices[at] for at in right}
    tied = {
        choice in right_texts
        for choice, value in zip(choices, values, strict=False)
        if value == max(values)
    }
    return Answer(
        prompt=prompt,
        target=target,
        raw=raw,
        shown=choice_responses(chosen, values),
        unusable=_choice_fault(values, choices, right),
        first_of_tied=len(tied) > 1,
    )


def _choice_fault(values: list[float], choices: list[str], right: list[int]) -> Flag | None:
    if len(choices) < 2 or len(values) < len(choices):
        return Flag.ONE_CHOICE
    if not right:
        return Flag.BAD_LABEL
    if not all(choice.strip() for choice in choices):
        return Flag.BLANK_CHOICE
    # Of equal choices the first is taken: where that one counts as wrong, nobody can be right.
    if any(choices.index(choices[index]) not in right for index in right):
        return Flag.RIGHT_TWICE
    # One impossible choice is an answer; NaN is not, nor is a model to which all are impossible.
    if any(math.isnan(value) for value in values) or any(value == math.inf for value in values):
        return Flag.NOT_FINITE
    return Flag.TIED if len(set(values)) == 1 else None


def _first_highest(values: Sequence[float]) -> int:
    """The place of the highest value; of several the first, as numpy's argmax has it."""
    return max(range(len(values)), key=lambda index: values[index])


def _finite(values: Sequence[float]) -> bool:
    return all(math.isfinite(float(value)) for value in values)


def _token_limit(settings: object) -> int:
    """The most tokens that a generation may have, by its settings."""
    if not isinstance(settings, Mapping):
        return _DEFAULT_LIMIT
    return int(next((settings[key] for key in LENGTHS if settings.get(key)), _DEFAULT_LIMIT))


def _target_text(target: object) -> str:
    if isinstance(target, (list, tuple)):
        return "\n".join(str(part) for part in target)
    return str(target)


def json_document(document: Mapping[str, object]) -> dict[str, object]:
    """A document as JSON values, for a record; what JSON has no word for becomes text."""
    text = json.dumps(dict(document), default=_json_or_text)
    if len(text) > _MOST_TEXT:
        return {"omitted": f"document of {len(text)} characters"}
    parsed: dict[str, object] = json.loads(text, parse_constant=str)
    return parsed


def _json_or_text(value: object) -> object:
    return value.tolist() if hasattr(value, "tolist") else str(value)
