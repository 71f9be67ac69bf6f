"""Drift over releases: one budget for all, falls told from rises, reruns no further look."""

from __future__ import annotations

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


def test_the_same_checkpoint_again_is_no_further_look(first: Scored) -> None:
    runs = [release("b", 140), release("again", 140, "b"), release("base", 150, "first")]
    assert [each.number for each in releases_against(first, runs, 0.05)] == [1]


def test_the_page_names_the_release_and_the_task_that_fell(first: Scored) -> None:
    document = page(first, release("b", 149), release("c", 100))
    assert document.headline == "Release 2 is worse than the baseline on known."
    assert document.sense == "bad"


def test_no_drift_shown_is_not_called_the_same(first: Scored) -> None:
    assert "not “the same”" in page(first, release("b", 149)).headline
