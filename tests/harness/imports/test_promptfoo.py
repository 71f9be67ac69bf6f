"""promptfoo's results become runs.

``data/promptfoo.json`` was written by promptfoo 0.123.1 (usage, times and configuration left out):
two providers written for it, five tests asked twice each. The other files, and all of version 2,
are written here after its source (src/types/index.ts, src/assertions/assertionsResult.ts): a test
that failed to run is written as 0, one without assertions as passed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from steelyard.harness.errors import DataError
from steelyard.harness.imports import PromptfooSettings, read_promptfoo
from tests.harness.imports.conftest import Steelyard

Part = dict[str, Any]
DATA = Path(__file__).parent / "data"


def result_of(number: int, passed: bool, score: float, **change: Any) -> Part:
    """One result of promptfoo's version 3."""
    asserts = [{"type": "contains", "value": "y", "metric": "form"}]
    components = [{"pass": passed, "score": score, "reason": "", "assertion": asserts[0]}]
    whole: Part = {
        "promptIdx": 0,
        "testIdx": number,
        "promptId": "p",
        "provider": {"id": "file://base.js", "label": "base"},
        "prompt": {"raw": f"Is {number} even?", "label": "Is {{n}} even?"},
        "vars": {"n": str(number)},
        "testCase": {"vars": {"n": str(number)}, "assert": asserts},
        "response": {"output": "y" if passed else "n"},
        "success": passed,
        "failureReason": 0 if passed else 1,
        "error": None if passed else "Expected output to contain y",
        "score": score,
        "namedScores": {"form": score},
        "gradingResult": {
            "pass": passed,
            "score": score,
            "reason": "All assertions passed" if passed else "Expected output to contain y",
            "namedScores": {"form": score},
            "namedScoreWeights": {"form": 1},
            "componentResults": components,
        },
    }
    return {**whole, **change}


def failed(number: int) -> Part:
    """A test whose provider gave no answer: promptfoo writes 0."""
    return result_of(
        number, False, 0, failureReason=2, error="503", gradingResult=None, namedScores={}
    )


def written(path: Path, results: list[Part], version: int = 3, **stats: int) -> Path:
    errors = sum(r.get("failureReason") == 2 for r in results)
    passed = sum(r["success"] for r in results)
    counts = {"successes": passed, "failures": len(results) - passed - errors, "errors": errors}
    summary = {"version": version, "timestamp": "2026-11-01T00:00:00.000Z", "results": results,
               "prompts": [], "stats": {**counts, **stats}}  # fmt: skip
    path.write_text(json.dumps({"evalId": "e", "results": summary, "config": {},
                                "metadata": {"promptfooVersion": "0.120.0"}}))  # fmt: skip
    return path


def values(path: Path, settings: PromptfooSettings | None = None) -> dict[str, float | None]:
    (imported,) = read_promptfoo(path, settings)
    return {score.metric: score.value for score in imported.run.scores}


def test_the_values_are_those_of_a_file_that_promptfoo_wrote() -> None:
    """Of five tests one failed to run, one asserts nothing; the base misses "two"."""
    base, tuned = read_promptfoo(DATA / "promptfoo.json")
    assert (base.run.candidate, tuned.run.candidate) == ("base", "tuned")
    # 1, .25 (weights 3 and 1, the first missed) and 7.5; by promptfoo's own figures, which hold
    # each test twice: score 19.5 and 21 with the two that assert nothing (2).
    for run, passed, score in ((base, 2 / 3, (19.5 - 2) / 6), (tuned, 1, (21 - 2) / 6)):
        values = {s.metric: (s.value, s.n, s.unscored) for s in run.run.scores}
        assert values["pass"] == (pytest.approx(passed), 3, 2)
        assert values["score"] == (pytest.approx(score), 3, 2)
        assert values["right"] == (float(run is tuned), 1, 0)
        assert values["points"] == (7.5, 1, 0)
    assert base.run.imported_from is not None and "promptfoo 0.123.1" in base.run.imported_from
    assert base.rows[0].sample_ids == tuned.rows[0].sample_ids


def test_code_of_an_assertion_that_fails_is_said(tmp_path: Path) -> None:
    thrown = result_of(0, False, 0)
    thrown["gradingResult"]["reason"] = "Custom function threw error: Unexpected token"
    (imported,) = read_promptfoo(written(tmp_path / "r.json", [thrown]))
    assert imported.run.scores[0].value == 0
    assert "own code raised an error there" in imported.remarks[0]


@pytest.mark.parametrize("version", [2, 3])
def test_a_failed_call_is_unscored_and_not_zero(tmp_path: Path, version: int) -> None:
    file = written(
        tmp_path / "r.json", [result_of(0, True, 1), result_of(1, False, 0.5), failed(2)], version
    )
    (imported,) = read_promptfoo(file)
    scores = {score.metric: score for score in imported.run.scores}
    assert {m: s.value for m, s in scores.items()} == {"pass": 0.5, "score": 0.75, "form": 0.75}
    assert {s.unscored for s in scores.values()} == {1}
    assert scores["pass"].primary and scores["pass"].kind == "accuracy"
    assert imported.remarks == ("base: 1 of 3 tests unscored: error: 503",)
    assert [s.prompt for s in imported.samples] == [f"Is {n} even?" for n in range(3)]
    assert imported.samples[0].responses == ("y",)


def test_a_rejection_in_version_2_that_has_only_an_error_text_counts(tmp_path: Path) -> None:
    rejected = result_of(0, False, 0)
    del rejected["failureReason"], rejected["promptIdx"]
    assert values(written(tmp_path / "r.json", [rejected], 2))["pass"] == 0


def test_a_test_that_asserts_nothing_says_nothing(tmp_path: Path) -> None:
    nothing = {"pass": True, "score": 1, "reason": "No assertions"}
    bare = result_of(0, True, 1, gradingResult=nothing, namedScores={}, testCase={})
    weightless = result_of(1, True, 0)
    weightless["gradingResult"]["componentResults"][0]["assertion"] = {"type": "x", "weight": 0}
    file = written(tmp_path / "r.json", [bare, weightless, result_of(2, False, 0)])
    (imported,) = read_promptfoo(file)
    assert imported.run.scores[0].value == 0 and imported.run.scores[0].unscored == 2


def test_a_grader_that_failed_is_no_failure_of_the_model(tmp_path: Path) -> None:
    graded = result_of(0, False, 0)
    graded["gradingResult"]["componentResults"][0] |= {
        "reason": "judge unavailable",
        "metadata": {"graderError": True},
    }
    (imported,) = read_promptfoo(written(tmp_path / "r.json", [graded, result_of(1, True, 1)]))
    assert imported.run.scores[0].value == 1 and imported.run.scores[0].unscored == 1
    assert "its grader failed: judge unavailable" in imported.remarks[0]


def test_a_named_metric_of_two_assertions_is_their_mean(tmp_path: Path) -> None:
    # Older versions write the sum of 1 and 0.5 and no weights; newer ones the mean.
    old, new = result_of(0, True, 0.75), result_of(0, True, 0.75)
    for result, score in ((old, 1.5), (new, 0.75)):
        parts = result["gradingResult"]["componentResults"]
        parts.append(dict(parts[0]))
        result["gradingResult"]["namedScores"] = {"form": score}
        result["gradingResult"]["namedScoreWeights"] = {"form": 2}
    del old["gradingResult"]["namedScoreWeights"]
    assert values(written(tmp_path / "old.json", [old]))["form"] == 0.75
    assert values(written(tmp_path / "new.json", [new]))["form"] == 0.75


def test_a_named_metric_without_weight_has_no_value(tmp_path: Path) -> None:
    weightless = result_of(0, True, 1)
    weightless["gradingResult"] |= {"namedScores": {"form": 0}, "namedScoreWeights": {"form": 0}}
    assert "form" not in values(written(tmp_path / "r.json", [weightless]))


def test_repeats_are_one_item_and_a_failed_repeat_leaves_it_unscored(tmp_path: Path) -> None:
    results = [result_of(0, True, 1), result_of(0, False, 0), result_of(1, True, 1), failed(1)]
    (imported,) = read_promptfoo(written(tmp_path / "r.json", results))
    score = imported.run.scores[0]
    assert (score.n, score.unscored, score.value, score.kind) == (1, 1, 0.5, "bounded")
    assert imported.samples[0].responses == ("y", "n")


def test_each_provider_with_each_prompt_is_a_run_of_its_own(tmp_path: Path) -> None:
    results = [
        result_of(0, passed, passed, promptIdx=2 * p + m, provider={"id": name, "label": ""},
               prompt={"raw": f"{word} 0", "label": word + " {{n}}"})
        for p, word in enumerate(("Say", "Tell"))
        for m, (name, passed) in enumerate((("org/a", True), ("org/b", False)))
    ]  # fmt: skip
    runs = read_promptfoo(written(tmp_path / "r.json", results), PromptfooSettings(name="new"))
    assert {r.run.candidate: r.run.scores[0].value for r in runs} == {
        "new-org__a-prompt1": 1, "new-org__b-prompt1": 0,
        "new-org__a-prompt2": 1, "new-org__b-prompt2": 0,
    }  # fmt: skip
    assert len({r.run.id for r in runs}) == 4


def test_another_prompt_is_a_named_difference_and_compares(tmp_path: Path) -> None:
    other = {"raw": "Tell: is 0 even?", "label": "Tell: is {{n}} even?"}
    results = [result_of(0, True, 1.0), result_of(0, True, 1.0, prompt=other, promptIdx=1)]
    first, second = (imported.run for imported in read_promptfoo(written(tmp_path / "r", results)))
    before, after = first.signatures[0], second.signatures[0]
    assert before.versions["prompt"] != after.versions["prompt"]
    assert (before.task_digest, before.template) == (after.task_digest, after.template)


def test_two_providers_of_one_name_are_refused(tmp_path: Path) -> None:
    file = written(
        tmp_path / "r.json", [result_of(0, True, 1), result_of(0, False, 0, promptIdx=1)]
    )
    with pytest.raises(DataError, match=r"two of its providers are called 'base'.*label"):
        read_promptfoo(file)


def test_less_is_better_only_where_it_is_said(tmp_path: Path) -> None:
    (imported,) = read_promptfoo(written(tmp_path / "r.json", [result_of(0, True, 7.5)]))
    assert any("'form' goes beyond 0 to 1" in remark for remark in imported.remarks)
    settings = PromptfooSettings(lower=("form",))
    (lower,) = read_promptfoo(tmp_path / "r.json", settings)
    assert {s.metric: s.higher_is_better for s in lower.run.scores}["form"] is False
    with pytest.raises(DataError, match=r"no named metric 'from'.*form"):
        read_promptfoo(tmp_path / "r.json", PromptfooSettings(lower=("from",)))


def test_files_that_cannot_be_trusted_are_refused_in_a_line(tmp_path: Path) -> None:
    cut = written(tmp_path / "cut.json", [result_of(0, True, 1)], successes=5)
    with pytest.raises(DataError, match=r"cut\.json.*counted 5 results, and the file holds 1"):
        read_promptfoo(cut)
    with pytest.raises(DataError, match="version 9 of promptfoo's results"):
        read_promptfoo(written(tmp_path / "new.json", [result_of(0, True, 1)], 9))
    # Without its vars two tests look the same; they would be taken for repeats of one.
    stripped = [result_of(n, True, 1, vars={}) for n in range(2)]
    with pytest.raises(DataError, match=r"same vars and assertions.*STRIP"):
        read_promptfoo(written(tmp_path / "stripped.json", stripped))
    (tmp_path / "other.json").write_text('{"results": {"results": 3}}')
    with pytest.raises(DataError, match="no results file of promptfoo"):
        read_promptfoo(tmp_path / "other.json")


def test_two_files_are_compared_and_gated(steelyard: Steelyard) -> None:
    for name, right in (("base", 55), ("tuned", 30)):
        results = [result_of(n, n < right, float(n < right)) for n in range(60)]
        order = results if name == "base" else results[::-1]
        done = steelyard("import", "promptfoo", written(Path(f"{name}.json"), order), "-n", name)
        assert done.code == 0 and "60 samples" in done.out, done.err
    Path("policy.yaml").write_text(
        "baseline: imported/base\nrules:\n  - {task: promptfoo, margin: 0.1}\n"
    )
    assert steelyard("gate", "imported/tuned", "--policy", "policy.yaml").code == 1
    assert steelyard("gate", "imported/base", "--policy", "policy.yaml").code == 0
