"""Rank sets of runs that answered the same items."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from steelyard.reports.site.paired_ranks import paired_rank_sets
from steelyard.reports.site.ranks import rank_sets
from steelyard.reports.site.standings import Standings
from tests.harness.scored_runs import rows, score, scored, with_flips, zero_one


def columns(tables):
    scores = []
    for table in tables:
        n, share = len(table.sample_ids), float(table.values.mean())
        half = 1.96 * (share * (1 - share) / n) ** 0.5
        scores.append(score(table, low=share - half, high=share + half))
    return scores


def test_mmlu_checkpoints_are_ranked_by_their_published_paired_p_values(real_data: Path) -> None:
    with (real_data / "mmlu_checkpoints" / "per_item.csv").open() as file:
        lines = list(csv.DictReader(file))
    right = {
        name: np.array([line[name] == line["answer"] for line in lines], dtype=float)
        for name in ("ckpt0", "ckpt50", "ckpt100")
    }
    tables = [rows("mmlu", "acc", values) for values in right.values()]
    # McNemar: 0 and 50 p = .39, 0 and 100 p = .015, 50 and 100 p = .023; Holm .39, .045, .046.
    assert paired_rank_sets(columns(tables), tables) == ["1–2", "1–2", "3"]
    assert rank_sets(columns(tables)) == ["1–3", "1–3", "1–3"]


def test_pairs_pay_for_their_number() -> None:
    base = zero_one(1000, 0.6)
    # 40 lost and 20 gained: p = .0133, .04 after Holm over three pairs and .13 over ten.
    fell = with_flips(base, 40, 20)
    tables = [rows("t", "acc", values) for values in (base, base, fell)]
    assert paired_rank_sets(columns(tables), tables) == ["1–2", "1–2", "3"]
    tables = [rows("t", "acc", values) for values in (base, base, base, base, fell)]
    assert paired_rank_sets(columns(tables), tables) == ["1–5"] * 5


def test_other_items_clusters_and_kinds_are_left_to_their_intervals() -> None:
    base = zero_one(100, 0.6)
    one, other = rows("t", "acc", base), rows("t", "acc", base, ids=[f"x{i}" for i in range(100)])
    assert paired_rank_sets(columns([one, other]), [one, other]) is None
    assert paired_rank_sets(columns([one, one]), [one, None]) is None
    clustered = rows("t", "acc", base, clusters=["c"] * 100)
    assert paired_rank_sets(columns([one, clustered]), [one, clustered]) is None
    graded = [s.model_copy(update={"kind": "bounded"}) for s in columns([one, one])]
    assert paired_rank_sets(graded, [one, one]) is None


def test_the_standings_rank_by_pairs_where_rows_are_at_hand() -> None:
    base = zero_one(1000, 0.6)
    runs = {}
    for name, values in (("a", base), ("b", with_flips(base, 40, 5))):
        table = rows("t", "acc", values)
        ends = columns([table])[0]
        bounds = {("t", "acc"): {"low": ends.low, "high": ends.high}}
        runs[f"run-{name}"] = scored(name, [table], scores=bounds)
    every = [run.run for run in runs.values()]
    paired = Standings(every, rows_of=lambda id: list(runs[id].rows.values()))
    ranks = [paired.placed["t", "acc"][id].rank for id in runs]
    assert ranks == ["1", "2"]
    alone = Standings(every)
    assert [alone.placed["t", "acc"][id].rank for id in runs] == ["1–2", "1–2"]
