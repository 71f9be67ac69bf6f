"""Ranks are sets where intervals overlap, and settings that differ are never ranked together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from steelyard.harness.records import Score
from steelyard.reports.document import Number, Table, Text
from steelyard.reports.site.leaderboard import build_leaderboard
from steelyard.reports.site.ranks import rank_sets
from tests.reports.fake_runs import fake_run


def score(low: float, high: float, higher: bool = True) -> Score:
    return Score(
        task="t", metric="m", value=(low + high) / 2, low=low, high=high, n=10,
        kind="accuracy", higher_is_better=higher,
    )  # fmt: skip


def test_separated_intervals_have_ranks_of_their_own() -> None:
    assert rank_sets([score(0.1, 0.2), score(0.5, 0.6), score(0.3, 0.4)]) == ["3", "1", "2"]


def test_overlapping_intervals_share_their_ranks() -> None:
    assert rank_sets([score(0.5, 0.7), score(0.6, 0.8), score(0.1, 0.2)]) == ["1–2", "1–2", "3"]


def test_overlap_is_not_handed_on() -> None:
    chain = [score(0.8, 1.0), score(0.5, 0.85), score(0.2, 0.55)]
    assert rank_sets(chain) == ["1–2", "1–3", "2–3"]


def test_where_lower_is_better_the_lowest_is_first() -> None:
    assert rank_sets([score(1, 2, higher=False), score(5, 6, higher=False)]) == ["1", "2"]


intervals = st.tuples(st.integers(0, 30), st.integers(0, 6)).map(lambda p: score(p[0], p[0] + p[1]))


@given(st.lists(intervals, min_size=1, max_size=12))
def test_the_fast_count_is_the_pairwise_one(scores: list[Score]) -> None:
    for one, shown in zip(scores, rank_sets(scores), strict=True):
        first = 1 + sum(other.low > one.high for other in scores)
        last = len(scores) - sum(other.high < one.low for other in scores)
        assert shown == (f"{first}" if first == last else f"{first}–{last}")


def standings(runs) -> Table:
    return next(
        b for _, b in build_leaderboard(runs).blocks() if getattr(b, "id", "") == "standings"
    )


def cell(table: Table, run: str, title: str) -> Number:
    column = next(i for i, c in enumerate(table.columns) if c.title == title)
    return next(r.cells[column] for r in table.rows if r.cells[0].text == run)


def test_runs_with_other_settings_are_not_ranked_together() -> None:
    runs = [fake_run(name) for name in ("base", "full", "lora", "orpo")]
    other = runs[3]
    changed = tuple(
        s.model_copy(update={"few_shot": 5}) if s.task == "microworld_known" else s
        for s in other.signatures
    )
    runs[3] = other.model_copy(update={"signatures": changed})
    table = standings(runs)
    assert cell(table, "demo / base", "known").note == "rank 1 of 3"
    assert cell(table, "demo / orpo", "known").note == "rank 1 of 1 (few-shot 5)"
    assert cell(table, "demo / orpo", "arithmetic").note.endswith("of 4")


def test_a_run_that_left_samples_unscored_is_not_ranked_above_one_that_has_them() -> None:
    # truera/trulens #2698: a metric that fails on the hardest records raised its mean and its rank.
    runs = [fake_run(name) for name in ("base", "full", "lora")]
    partial = tuple(
        s.model_copy(update={"n": s.n - 3, "unscored": 3}) if s.task == "microworld_known" else s
        for s in runs[2].scores
    )
    table = standings([*runs[:2], runs[2].model_copy(update={"scores": partial})])
    assert cell(table, "demo / base", "known").note.endswith("of 2")
    note = cell(table, "demo / lora", "known").note
    assert "others are scored on more of the samples, not ranked" in note
    assert "3 of" in note
    assert cell(table, "demo / lora", "arithmetic").note.endswith("of 3")
    # Where every run lacks as many, they stand beside one another as ever.
    alike = [run.model_copy(update={"scores": partial}) for run in runs]
    assert cell(standings(alike), "demo / lora", "known").note.startswith("rank ")


def test_imported_runs_are_ranked_among_themselves_and_say_so() -> None:
    runs = [fake_run("base"), fake_run("full").model_copy(update={"imported_from": "a.json"})]
    table = standings(runs)
    assert cell(table, "demo / full", "known").note == "rank 1 of 1 (imported)"
    heading = next(r.cells[0] for r in table.rows if r.cells[0].text == "demo / full")
    assert heading == Text(text="demo / full", note="imported from a.json")


def test_the_newest_run_of_a_candidate_is_ranked_and_the_earlier_one_listed() -> None:
    old = fake_run("base").model_copy(
        update={"id": "old", "created_at": "2026-11-20T10:00:00+00:00"}
    )
    document = build_leaderboard([fake_run("base"), fake_run("full"), old])
    tables = {b.id: b for _, b in document.blocks() if isinstance(b, Table)}
    assert len(tables["standings"].rows) == 2
    assert [row.cells[0].note for row in tables["history"].rows] == ["old"]
