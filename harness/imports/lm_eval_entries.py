"""One line of lm-eval's ``samples_*.jsonl``: what was asked, what came back, what it scored."""

from __future__ import annotations

import ast
import math
from collections import Counter
from collections.abc import Mapping, Sequence

from steelyard.harness.errors import DataError
from steelyard.harness.plugins import Sample
from steelyard.harness.records import choice_responses
from steelyard.harness.suites import sample_ids

Entry = Mapping[str, object]
#: No question has more choices than a number of so many digits.
_MOST_DIGITS = 9
#: A list of right answers is shorter than this.
_MOST_TARGET = 100_000
#: What lm-eval writes into every sample; any other key is a metric.
_FIXED = frozenset(
    {"doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics",
     "doc_hash", "prompt_hash", "target_hash", "steelyard_flags", "steelyard_rows",
     "steelyard_in_training_data"}
)  # fmt: skip
_HASHES = ("doc_hash", "prompt_hash", "target_hash")


def samples_of(task: str, entries: Sequence[Entry]) -> list[Sample]:
    """Samples with ids by lm-eval's hashes, or by our own where a file has none."""
    contents: list[tuple[object, str, str]] = []
    shown: list[tuple[str, str]] = []
    for entry in entries:
        arguments = _arguments(entry)
        prompt = str(arguments[0][0]) if arguments and arguments[0] else ""
        target = _target(entry, arguments)
        hashes = [entry.get(name) for name in _HASHES]
        content = (entry.get("doc"), prompt, str(entry.get("target")))
        contents.append((hashes[0], str(hashes[1]), str(hashes[2])) if all(hashes) else content)
        shown.append((prompt, target))
    return [
        Sample(task, sample_id, document_of(entry), prompt, target, _metric_values(entry))
        for entry, (prompt, target), sample_id in zip(
            entries, shown, sample_ids(contents), strict=True
        )
    ]


def content_ids(entries: Sequence[Entry], config: Mapping[str, object]) -> Sequence[str | None]:
    """The ids that a run made here gives the same samples; None where a file does not tell.

    ``config`` is the task's, as lm-eval dumped it: a choice is a request without its delimiter.
    """
    contents = [_content(entry, config) for entry in entries]
    whole = [content for content in contents if content is not None]
    return sample_ids(whole) if len(whole) == len(contents) else [None] * len(contents)


def _content(entry: Entry, config: Mapping[str, object]) -> tuple[object, str, str] | None:
    """Document, prompt and right answer, as they stand in an id of ours."""
    arguments = _arguments(entry)
    if not arguments or not all(arguments):
        return None
    kind, target = config.get("output_type"), entry.get("target")
    if kind == "loglikelihood_rolling":
        return entry.get("doc"), "", str(target)
    prompt, answer = str(arguments[0][0]), _literal(target)
    if kind != "multiple_choice":
        lines = answer if isinstance(answer, list) else [target]
        return entry.get("doc"), prompt, "\n".join(map(str, lines))
    delimiter = str(config.get("target_delimiter", " "))
    asked = [str(argument[-1]) for argument in arguments if str(argument[0]) == prompt]
    if all(text.startswith(delimiter) for text in asked):
        asked = [text.removeprefix(delimiter) for text in asked]
    labels = answer if isinstance(answer, list) else [answer]
    right = [asked.index(label) if label in asked else label for label in labels]
    if not all(isinstance(place, int) and 0 <= place < len(asked) for place in right):
        return None
    return entry.get("doc"), prompt, ", ".join(asked[int(str(place))] for place in right)


def _literal(target: object) -> object:
    """A target as the task gave it: lm-eval writes the text of numbers and lists."""
    text = str(target)
    if not (text.isdecimal() or text.startswith("[")) or len(text) > _MOST_TARGET:
        return text
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


def require_once(entries: Sequence[Entry], filter_name: str) -> None:
    """lm-eval appends to its samples files, so a second run into one file doubles them."""
    counts = Counter(str(entry["doc_id"]) for entry in entries if entry.get("doc_id") is not None)
    twice = [doc_id for doc_id, count in counts.items() if count > 1]
    if twice:
        raise DataError(
            f"doc_id {twice[0]} stands {counts[twice[0]]} times under the filter '{filter_name}' "
            f"({len(twice)} such documents)",
            fix="was a second run appended to the file? keep one",
        )


def document_of(entry: Entry) -> Mapping[str, object]:
    """The document as a mapping."""
    document = entry.get("doc")
    return document if isinstance(document, Mapping) else {"text": document}


def log_likelihoods(entry: Entry) -> list[float]:
    """Of each choice, NaN for one that is no number; empty where something else was asked.

    A file writes what is not a number as ``NaN``, as text or as null, by who wrote it.
    """
    answers = _list_or_empty(entry.get("filtered_resps"))
    pairs = [a for a in answers if isinstance(a, list | tuple) and len(a) == 2]
    if len(pairs) < 2 or len(pairs) != len(answers):
        return []
    return [_float_or_nan(pair[0]) for pair in pairs]


def _float_or_nan(value: object) -> float:
    try:
        return float(str(value))
    except ValueError:
        return math.nan


def shown_responses(entry: Entry) -> tuple[str, ...]:
    """The answer as our own records hold it (``steelyard.harness.evaluation.answers``)."""
    likelihoods, arguments = log_likelihoods(entry), _arguments(entry)
    if likelihoods and len(arguments) >= len(likelihoods):
        best = max(range(len(likelihoods)), key=likelihoods.__getitem__)
        return choice_responses(_last(arguments[best]), likelihoods)
    return tuple(_flat(entry.get("resps") or entry.get("filtered_resps")))


def _arguments(entry: Entry) -> list[list[object]]:
    """The requests' arguments: ``{"gen_args_0": {"arg_0": prompt, ...}}``, or plain lists."""
    arguments = entry.get("arguments")
    requests = (
        list(arguments.values()) if isinstance(arguments, Mapping) else _list_or_empty(arguments)
    )
    return [list(r.values()) if isinstance(r, Mapping) else _list_or_empty(r) for r in requests]


def _list_or_empty(value: object) -> list[object]:
    """``value`` where it is a list; lm-eval writes nothing else there, others may."""
    return list(value) if isinstance(value, list | tuple) else []


def ready_metrics(entry: Entry) -> list[str]:
    """Metrics whose value in this line is their row (`steelyard export`)."""
    return [name for name in _list_or_empty(entry.get("steelyard_rows")) if isinstance(name, str)]


def _last(argument: Sequence[object]) -> str:
    return str(argument[-1]).strip() if argument else ""


def _metric_values(entry: Entry) -> dict[str, object]:
    named = entry.get("metrics")
    keys = named if isinstance(named, list) else [k for k in entry if k not in _FIXED]
    names = [name for name in keys if isinstance(name, str) and name != "bypass"]
    return {name: entry.get(name) for name in names}


def _target(entry: Entry, arguments: Sequence[Sequence[object]]) -> str:
    """The right answer as text; lm-eval gives a multiple-choice target as an index."""
    target = str(entry.get("target", ""))
    index = int(target) if target.isdecimal() and len(target) <= _MOST_DIGITS else None
    if len(arguments) > 1 and index is not None and index < len(arguments):
        return _last(arguments[index])
    return target


def _flat(value: object) -> list[str]:
    if isinstance(value, list | tuple):
        return [text for part in value for text in _flat(part)]
    return [] if value is None else [str(value)]
