"""What promptfoo writes with ``eval -o results.json``, versions 2 and 3 of its summary.

Read by the layout of its source (src/types/index.ts, src/assertions/assertionsResult.ts).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steelyard.harness.errors import DataError
from steelyard.harness.files import digest_json, read_json_object
from steelyard.harness.imports.foreign_files import as_text, laid_out
from steelyard.harness.imports.numbers import number

PASS, SCORE = "pass", "score"
_VERSIONS = (2, 3)
#: ``ResultFailureReason``: an assertion rejected the answer, or there was none to judge.
_REJECTED, _ERROR = 1, 2
#: What promptfoo adds to the vars of a test itself; other in every run.
_OWN_VARS = ("_conversation", "sessionId")
_STRIPPED = ("[prompt stripped]", "[test vars stripped]")
#: Of an assertion: what it asks, and not how it is called in a report.
_UNASKED = ("metric", "description")
#: How the reason begins where JavaScript, Python or Ruby of the user's raised an error.
_THREW = ("Custom function threw error", "Python code execution failed", "Ruby code execution")
_FAILED_FUNCTION = "Scoring function error:"

Part = Mapping[str, Any]


@dataclass(frozen=True)
class Result:
    """One test of one provider with one prompt."""

    place: str
    text: str
    """The prompt as it was sent."""
    vars: Part
    vars_text: str
    assertions: str
    graded_by: str
    """Digest of the grader and the options that the test sets."""
    fields: Part
    """Vars, metadata and description."""
    output: str
    values: Mapping[str, float | None]
    """Metric -> value; None is unscored."""
    asked_metrics: tuple[str, ...]
    """Named metrics that the test asks for, whether they were scored or not."""
    unscored: str | None
    """Why the test has no value; None where it has one."""
    threw: bool
    """An assertion's own code failed on the answer: promptfoo counts the test as failed."""


@dataclass(frozen=True)
class Column:
    """The tests of one provider with one prompt."""

    place: int
    provider: str
    prompt: str
    results: tuple[Result, ...]


@dataclass(frozen=True)
class Results:
    """A results file."""

    version: str | None
    created_at: str | None
    columns: tuple[Column, ...]


def read_results(path: Path) -> Results:
    """The results in a file. Raises ``DataError``, in one line, for whatever is no such file."""
    fix = "name what `promptfoo eval -o results.json` wrote"
    content = read_json_object(path, DataError, fix=fix)
    with laid_out("results of promptfoo", "write it again: promptfoo eval -o FILE.json"):
        summary = content.get("results")
        if not isinstance(summary, Mapping) or not isinstance(summary.get("results"), list):
            raise DataError("is no results file of promptfoo: it has no results.results", fix=fix)
        if summary.get("version") not in _VERSIONS:
            raise DataError(
                f"version {summary.get('version')} of promptfoo's results is not read",
                key="results.version",
                fix="versions 2 and 3 are",
            )
        if not summary["results"]:
            raise DataError("has no results", key="results.results", fix="run the evaluation")
        columns = tuple(_columns(summary["results"]))
        _require_counts(columns, summary)
        about = content.get("metadata")
        version = about.get("promptfooVersion") if isinstance(about, Mapping) else None
        made = summary.get("timestamp")
        return Results(
            str(version) if version else None,
            made if isinstance(made, str) and made else None,
            columns,
        )


def _columns(held: Sequence[Part]) -> Iterator[Column]:
    by_place: dict[tuple[int, str, str], list[Result]] = {}
    for index, result in enumerate(held):
        provider = result["provider"]
        if isinstance(provider, Mapping):
            provider = provider.get("label") or provider.get("id")
        prompt = result["prompt"]
        label = str(prompt.get("label") or prompt["raw"])
        key = (int(result.get("promptIdx") or 0), str(provider), label)
        by_place.setdefault(key, []).append(_result(f"results.{index}", result))
    # Version 2 gave results without promptIdx; labels are then what tells prompts apart.
    for place, ((_, provider, label), results) in enumerate(sorted(by_place.items(), key=_first)):
        yield Column(place, provider, label, tuple(results))


def _first(entry: tuple[tuple[int, str, str], list[Result]]) -> tuple[int, str, str]:
    return entry[0]


def _result(place: str, result: Part) -> Result:
    test = result.get("testCase") or {}
    grading = result.get("gradingResult") or {}
    variables = {k: v for k, v in (result.get("vars") or {}).items() if k not in _OWN_VARS}
    text = result["prompt"]["raw"]
    if text in _STRIPPED or any(v in _STRIPPED for v in variables.values() if isinstance(v, str)):
        fix = "write it without PROMPTFOO_STRIP_PROMPT_TEXT and PROMPTFOO_STRIP_TEST_VARS"
        raise DataError("what the test asks was left out of the file", key=place, fix=fix)
    asserts = test.get("assert") or []
    response = result.get("response") or {}
    output = response.get("output") if isinstance(response, Mapping) else response
    metadata = test.get("metadata")
    why = _why_unscored(result, grading)
    scores = dict(_named_scores(result, grading))
    asked = [str(a["metric"]) for a in _flat(asserts) if a.get("metric")]
    named = tuple(dict.fromkeys([*scores, *(m for m in asked if "{{" not in m)]))
    values: dict[str, float | None] = dict.fromkeys((PASS, SCORE, *named))
    if why is None:
        values = {**values, **scores, SCORE: number(result.get("score"))}
        if not isinstance(result["success"], bool):
            raise DataError("success is neither true nor false", key=place, fix="write it again")
        values[PASS] = float(result["success"])
    return Result(
        place=place,
        text=as_text(text),
        vars=variables,
        vars_text=json.dumps(variables, sort_keys=True, ensure_ascii=False),
        assertions=json.dumps([_asks(a) for a in asserts], sort_keys=True, ensure_ascii=False),
        graded_by=digest_json([test.get("options"), test.get("threshold")]),
        fields={
            **({"description": test["description"]} if test.get("description") else {}),
            **(metadata if isinstance(metadata, Mapping) else {}),
            **variables,
        },
        output=as_text(output),
        values=values,
        asked_metrics=named,
        unscored=why,
        threw=why is None and any(map(_threw, [grading, *(grading.get("componentResults") or [])])),
    )


def _asks(assertion: Part) -> Part:
    return {k: v for k, v in assertion.items() if k not in _UNASKED and v is not None}


def _flat(asserts: Sequence[Part]) -> Iterator[Part]:
    """Assertions, those of sets included."""
    for assertion in asserts:
        yield assertion
        yield from _flat(assertion.get("assert") or [])


def _why_unscored(result: Part, grading: Part) -> str | None:
    """Why a test says nothing of the model; None where it was judged.

    promptfoo gives a test that failed to run 0, and passes one without assertions.
    """
    response = result.get("response")
    answer_error = response.get("error") if isinstance(response, Mapping) else None
    if result.get("failureReason") == _ERROR or answer_error:
        return f"error: {_brief(result.get('error') or answer_error)}"
    if not grading and result.get("failureReason") != _REJECTED:
        problem = result.get("error")
        return f"error: {_brief(problem)}" if problem else "it was never graded"
    reason = str(grading.get("reason") or "")
    if reason.startswith(_FAILED_FUNCTION):
        return _brief(reason)
    components = [c for c in grading.get("componentResults") or [] if isinstance(c, Mapping)]
    failed = [c for c in components if _is_grader_error(c)]
    if failed or _is_grader_error(grading):
        return f"its grader failed: {_brief((failed or [grading])[0].get('reason'))}"
    if reason == "No assertions" or (components and all(map(_counts_nothing, components))):
        return "it asserts nothing"
    return None


def _brief(text: object) -> str:
    return " ".join(str(text or "no reason given").split())[:120]


def _is_grader_error(grading: Part) -> bool:
    metadata = grading.get("metadata")
    return isinstance(metadata, Mapping) and metadata.get("graderError") is True


def _threw(grading: Part) -> bool:
    return str((grading or {}).get("reason") or "").startswith(_THREW)


def _assertion(component: Part) -> Part:
    assertion = component.get("assertion")
    return assertion if isinstance(assertion, Mapping) else {}


def _counts_nothing(component: Part) -> bool:
    assertion = _assertion(component)
    return assertion.get("metricOnly") is True or assertion.get("weight") == 0


def _named_scores(result: Part, grading: Part) -> Iterator[tuple[str, float | None]]:
    """Each named metric's mean over the assertions of its name, weighted as promptfoo weighs them.

    Versions of promptfoo that write no weights summed them, so that two assertions of one name
    gave up to 2. A metric whose weights are all 0 was written as 0: it has no value.
    """
    weights = grading.get("namedScoreWeights")
    for name, value in (grading.get("namedScores") or result.get("namedScores") or {}).items():
        score = number(value)
        if isinstance(weights, Mapping):
            yield name, None if number(weights.get(name)) == 0 else score
            continue
        components = grading.get("componentResults") or []
        parts = sum(_assertion(c).get("metric") == name for c in components if c)
        yield name, None if score is None else score / max(parts, 1)


def _require_counts(columns: Sequence[Column], summary: Part) -> None:
    """As many results as promptfoo counted: a filtered or cut file is no evaluation."""
    stats = summary.get("stats")
    if not isinstance(stats, Mapping):
        return
    counts = [number(stats.get(name)) for name in ("successes", "failures", "errors")]
    counted = sum(count or 0 for count in counts)
    held = sum(len(column.results) for column in columns)
    if counts[0] is not None and counted != held:
        raise DataError(
            f"promptfoo counted {counted:g} results, and the file holds {held}",
            key="results.stats",
            fix="write it whole: promptfoo export eval ID -o FILE.json",
        )
