"""What lm-eval's own metrics say of a generated text, where they take text for what it is not.

Two of them do. ``exact_match`` compares code points: an answer whose accents are marks of their
own, or whose digits are full width, is another string and so wrong. And of a task with several
right answers lm-eval makes 1.0 of any corpus metric (``any`` over pairs that are never false),
whatever was said; here the pair of all references and the answer goes on to the metric.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from steelyard.harness.plugins import Signed
from steelyard.harness.texts import UNICODE_ANSWERS, caseless, plain, without_punctuation

if TYPE_CHECKING:
    from lm_eval.api.task import Task

#: Metrics of lm-eval whose value of one document is the pair (references, hypothesis).
_OF_PAIRS = ("bleu", "chrf", "chrf++", "ter")
_EXACT_MATCH = "exact_match"


def corrected(
    task: Task, document: object, results: Sequence[object], values: Mapping[str, Any]
) -> Mapping[str, Any]:
    """``values`` as lm-eval's own metrics gave them for one document, with these two put right.

    What a task's own Python gave stays as it is.
    """
    config = getattr(task, "config", None)
    if config is None or config.process_results is not None or not results:
        return values
    answer = results[0]
    if str(task.OUTPUT_TYPE) != "generate_until" or not isinstance(answer, str):
        return values
    pairs = [name for name in _OF_PAIRS if name in values and task.multiple_target]
    if _EXACT_MATCH not in values and not pairs:
        return values
    targets = _targets(task, document)
    right: dict[str, Any] = dict.fromkeys(pairs, (targets, answer))
    if _EXACT_MATCH in values:
        right[_EXACT_MATCH] = _exact_match(
            values[_EXACT_MATCH], targets, answer, task._metric_fn_kwargs[_EXACT_MATCH]
        )
    return {**values, **right}


def _targets(task: Task, document: object) -> list[str]:
    target = task.doc_to_target(document)
    if task.config.doc_to_choice is not None:
        target = task.doc_to_choice(document)[target]
    listed = target if isinstance(target, (list, tuple)) else [target]
    return [str(text) for text in listed]


def _exact_match(
    value: object, targets: Sequence[str], answer: str, options: Mapping[str, Any]
) -> Signed:
    """lm-eval's value on ASCII text; on other text its rules over the plain spelling."""
    rules = f"text:{UNICODE_ANSWERS}"
    if answer.isascii() and all(map(str.isascii, targets)):
        return Signed(float(value), rules)  # type: ignore[arg-type]
    compared = _compared(answer, options)
    return Signed(float(any(compared == _compared(t, options) for t in targets)), rules)


def _compared(text: str, options: Mapping[str, Any]) -> str:
    """What is compared, with lm-eval's options in lm-eval's order."""
    text = plain(text)
    for pattern in options.get("regexes_to_ignore") or ():
        text = re.sub(pattern, "", text)
    if options.get("ignore_case"):
        text = caseless(text)
    if options.get("ignore_punctuation"):
        text = without_punctuation(text)
    if options.get("ignore_numbers"):
        text = re.sub(r"[0-9]", "", text)
    return text
