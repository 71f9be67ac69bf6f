"""Rank sets from paired tests: runs that answered the same items are told apart item by item."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from steelyard.harness.compare import Settings, pair, run_test
from steelyard.harness.records import Rows, Score
from steelyard.harness.stats import holm

#: Both directions of every pair of a column together.
LEVEL = 0.05
#: The pairs grow with the square; more runs are ranked by their intervals.
MOST_RUNS = 20


def paired_rank_sets(scores: Sequence[Score], rows: Sequence[Rows | None]) -> list[str] | None:
    """For each score the ranks it may have, where every two were tested on the same items.

    Exact McNemar on every pair, adjusted after Holm over all pairs of the column, at .05 together.
    The first rank counts the scores that are better by that, the last those that are worse. None
    where the scores are not 0/1, share clusters (whose test takes long), or not all their items:
    their intervals have to do.
    """
    held = [table for table in rows if table is not None]
    if not 2 <= len(scores) <= MOST_RUNS or len(held) < len(scores):
        return None
    if any(score.kind != "accuracy" or score.parts for score in scores):
        return None
    if any(label is not None for table in held for label in table.clusters):
        return None
    pairs = list(combinations(range(len(scores)), 2))
    p_values, deltas = [], []
    for a, b in pairs:
        paired, problems = pair(held[a], held[b])
        if problems or not len(paired.sample_ids):
            return None
        result = run_test(scores[a], paired, Settings())
        p_values.append(result.p_value)
        deltas.append(float(paired.candidate.mean() - paired.baseline.mean()))
    better, worse = [0] * len(scores), [0] * len(scores)
    for (a, b), delta, p_value in zip(pairs, deltas, holm(p_values), strict=True):
        if p_value <= LEVEL and delta:
            winner, loser = (b, a) if (delta > 0) == scores[a].higher_is_better else (a, b)
            better[loser] += 1
            worse[winner] += 1
    ends = [(1 + first, len(scores) - last) for first, last in zip(better, worse, strict=True)]
    return [f"{first}" if first == last else f"{first}–{last}" for first, last in ends]
