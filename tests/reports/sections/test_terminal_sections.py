"""What the terminal's short page promises, it shows: reasons, and what answering costs."""

from __future__ import annotations

import re

import pytest

from steelyard.harness.records import COST, Score
from steelyard.reports.build import build_report
from steelyard.reports.renderers.html import Html
from steelyard.reports.renderers.terminal import Terminal
from tests.reports.fake_runs import fake_comparison, fake_run


@pytest.mark.parametrize("count", [1, 4, 12, 30])
def test_the_reasons_that_are_said_to_be_listed_below_are(count: int) -> None:
    base, full = fake_run("base"), fake_run("full")
    reasons = tuple(f"task_{i}: another prompt template" for i in range(count))
    comparison = fake_comparison(base, full).model_copy(
        update={"comparable": False, "problems": reasons}
    )
    document = build_report("t", [base, full], [comparison], [], baseline="base")
    page = Terminal(width=200).render(document)
    shown = [reason for reason in reasons if reason in page]
    if count <= 12:
        assert "the reasons are listed below" in page
        assert len(shown) == count
    else:
        assert "12 of the 30 reasons are listed below" in page
        assert len(shown) == 12
    whole = Html().render(document)
    assert all(reason in whole for reason in reasons)


def cost_score(metric: str, value: float) -> Score:
    return Score(
        task=COST, metric=metric, value=value, n=8, kind="ratio", higher_is_better=False,
        family=COST, unit="seconds", primary=metric == "latency_p50_seconds", note="batch 1",
    )  # fmt: skip


def test_a_run_that_measured_only_costs_shows_them_on_the_terminal() -> None:
    scores = (cost_score("latency_p50_seconds", 0.125), cost_score("latency_p95_seconds", 0.5))
    run = fake_run("base").model_copy(update={"scores": scores})
    page = Terminal(width=120).render(build_report("t", [run], [], [], baseline="base"))
    assert re.search(r"latency p50 seconds.*0\.125", page)
    assert re.search(r"latency p95 seconds.*0\.5", page)
    assert "Candidates and metrics" not in page
