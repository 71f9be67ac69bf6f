"""What programs read of a report: the shipped schema, its flat rows, the verdict beside them."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

import jsonschema
import pytest

from steelyard.reports.document import Document
from steelyard.reports.renderers.json_document import Json, json_schema
from tests.golden_text import Golden
from tests.reports.fake_runs import fake_document, fake_experiment

ASSET = "renderers/assets/document.schema.json"


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    text = resources.files("steelyard.reports").joinpath(ASSET).read_text(encoding="utf-8")
    shipped: dict[str, Any] = json.loads(text)
    return shipped


@pytest.fixture(scope="module")
def answer() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(Json().render(fake_document().ended(1)))
    return document


def test_the_shipped_schema_is_that_of_the_code(golden: Golden) -> None:
    golden(f"../../reports/{ASSET}", json.dumps(json_schema(), indent=1))


def test_the_schema_is_one_and_holds_of_a_report(
    schema: dict[str, Any], answer: dict[str, Any]
) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(answer, schema)


@pytest.mark.parametrize(
    ("key", "value"), [("verdict", "PASS"), ("exit_code", "1"), ("rules", None), ("more", 1)]
)
def test_the_schema_refuses_what_no_version_wrote(
    schema: dict[str, Any], answer: dict[str, Any], key: str, value: object
) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(answer | {key: value}, schema)


@pytest.mark.parametrize(
    ("code", "word"),
    [(0, "pass"), (1, "fail"), (2, "error"), (3, "not_comparable"), (4, "inconclusive"),
     (70, "error")],
)  # fmt: skip
def test_the_verdict_is_that_of_the_exit_code(code: int, word: str) -> None:
    document = fake_document().ended(code)
    assert (document.verdict, document.exit_code) == (word, code)


def test_without_a_gate_there_is_an_exit_code_and_no_verdict() -> None:
    document = fake_document().model_copy(update={"rules": (), "verdicts": ()}).ended(0)
    assert (document.verdict, document.exit_code) == (None, 0)


def test_every_score_of_every_run_is_a_row_with_the_record_s_numbers(
    answer: dict[str, Any],
) -> None:
    runs = fake_experiment().runs
    rows = [row for row in answer["scores"] if row["slice"] is None]
    assert [(r["run"], r["task"], r["metric"], r["value"], r["n"]) for r in rows] == [
        (run.id, s.task, s.metric, s.value, s.n) for run in runs for s in run.scores
    ]
    assert {row["candidate"] for row in rows if row["is_baseline"]} == {"base"}


def test_a_row_has_the_difference_that_was_compared_and_the_baseline_has_none(
    answer: dict[str, Any],
) -> None:
    comparison = fake_experiment().comparisons[0]
    delta = comparison.deltas[0]
    [row] = [
        row
        for row in answer["scores"]
        if (row["run"], row["task"], row["metric"], row["slice"])
        == (comparison.candidate_id, delta.task, delta.metric, None)
    ]
    assert (row["difference"], row["difference_low"], row["difference_high"], row["word"]) == (
        delta.delta,
        delta.low,
        delta.high,
        delta.verdict,
    )
    assert all(row["difference"] is None for row in answer["scores"] if row["is_baseline"])


def test_a_document_of_the_first_version_still_reads() -> None:
    old = json.loads(Json().render(fake_document()))
    for key in ("verdict", "exit_code", "verdicts", "rules", "scores"):
        del old[key]
    document = Document.model_validate(old | {"schema_version": 1})
    assert document.scores == () and document.headline
