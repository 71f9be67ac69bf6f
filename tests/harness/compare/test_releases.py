"""Drift over releases: one budget for all, falls told from rises, reruns no further look."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from steelyard.harness.compare import Scored, releases_against
from steelyard.reports.document import Document
from steelyard.reports.sections.releases import releases_document
from tests.harness.scored_runs import rows, scored

N = 200


def release(name: str, right: int, checkpoint: str | None = None) -> Scored:
    """A run that has the first ``right`` of ``N`` items right."""
    held = [rows("known", "acc", np.arange(N) < right), rows("new", "acc", np.arange(N) < 100)]
    return scored(name, held, checkpoint={"digest": f"weights of {checkpoint or name}"})


@pytest.fixture
def first() -> Scored:
    return release("first", 150)


def page(first: Scored, *runs: Scored) -> Document:
    return releases_document("x/a", first, releases_against(first, runs, 0.05), 0.05)


def test_a_fall_is_called_by_its_task_and_a_small_one_is_not(first: Scored) -> None:
    small, large = releases_against(first, [release("b", 149), release("c", 100)], 0.05)
    assert not small.drifted
    assert [delta.task for delta in large.fell] == ["known"]


def test_a_rise_is_drift_and_no_fall(first: Scored) -> None:
    [risen] = releases_against(first, [release("b", 195)], 0.05)
    assert [delta.task for delta in risen.drifted] == ["known"] and not risen.fell


def test_what_one_look_would_call_a_later_release_may_not() -> None:
    # Eight lost and none gained: McNemar's exact p is 2 / 2**8 = .0078, over two tasks .0156;
    # the first look may spend .05 / 2 = .025, the fourth .05 / 20 = .0025.
    first = release("first", 150)
    alone = releases_against(first, [release("b", 142)], 0.05)
    fourth = releases_against(
        first, [*(release(f"{i}", 150) for i in range(3)), release("b", 142)], 0.05
    )
    assert alone[-1].fell and not fourth[-1].fell
    assert fourth[-1].level == pytest.approx(0.0025)


def test_the_same_weights_again_are_no_further_look_and_their_last_run_counts(
    first: Scored,
) -> None:
    runs = [release("b", 149), release("again", 100, "b"), release("base", 150, "first")]
    [look] = releases_against(first, runs, 0.05)
    assert (look.number, look.run.name) == (1, "again") and look.fell


def test_two_imports_of_one_file_are_two_releases(first: Scored) -> None:
    # An import's digest is that of its file, and a file may hold several models.
    runs = [imported(release(name, 100, "one file")) for name in ("b", "c")]
    assert [look.number for look in releases_against(imported(first), runs, 0.05)] == [1, 2]


def imported(run: Scored) -> Scored:
    return replace(run, run=run.run.model_copy(update={"imported_from": "promptfoo"}))


def test_a_metric_that_is_not_primary_leads_a_task_that_has_no_other(first: Scored) -> None:
    def of(name: str, right: int) -> Scored:
        held = [rows("known", "acc", np.arange(N) < right)]
        scores = {("known", "acc"): {"primary": False}}
        return scored(name, held, scores=scores, checkpoint={"digest": name})

    [look] = releases_against(of("first", 150), [of("b", 100)], 0.05)
    assert [delta.metric for delta in look.fell] == ["acc"]


def test_what_could_not_be_tested_is_a_problem_and_never_no_drift(first: Scored) -> None:
    bare = release("b", 100)
    document = page(first, replace(bare, rows={}))
    assert "cannot be judged" in document.headline and document.sense == "bad"


def test_an_unfinished_release_cannot_be_judged(first: Scored) -> None:
    unfinished = release("b", 100)
    unfinished = replace(unfinished, run=unfinished.run.model_copy(update={"complete": False}))
    assert "cannot be judged" in page(first, unfinished).headline


def test_the_flat_rows_of_a_watch_have_one_baseline_and_numbered_releases(first: Scored) -> None:
    document = page(first, release("b", 149), release("c", 100))
    assert {row.candidate for row in document.scores if row.is_baseline} == {"first"}
    falls = [row for row in document.scores if row.word == "worse"]
    assert [row.candidate for row in falls] == ["c, release 2"]


def test_the_page_names_the_release_and_the_task_that_fell(first: Scored) -> None:
    document = page(first, release("b", 149), release("c", 100))
    assert document.headline == "Release 2 is worse than the baseline on known."
    assert document.sense == "bad"


def test_a_fall_that_was_mended_is_still_named(first: Scored) -> None:
    assert page(first, release("b", 100), release("c", 150)).headline.endswith(
        "Fell before: release 1."
    )


def test_no_drift_shown_is_not_called_the_same(first: Scored) -> None:
    assert "not “the same”" in page(first, release("b", 149)).headline
