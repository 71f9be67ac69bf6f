"""Ranks as sets, normalised scores and Pareto fronts: what intervals allow to be said."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import groupby

from steelyard.harness.records import Score
from steelyard.reports.document import Normalised

#: What a perfect score is, where the kind of a metric and its direction say so.
_BOUNDED = ("accuracy", "bounded")


def rank_sets(scores: Sequence[Score]) -> list[str]:
    """For each score the ranks it may have: ``1``, or ``2–4`` where intervals overlap.

    The first rank counts the scores whose interval lies wholly on the better side of this one's,
    the last those wholly on the worse side. Every score must have an interval. n log n.
    """
    worst, best = [], []
    for score in scores:
        low, high = _oriented(score)
        worst.append(low)
        best.append(high)
    by_worst, by_best = sorted(worst), sorted(best)
    shown = []
    for low, high in zip(worst, best, strict=True):
        first = 1 + len(scores) - bisect_right(by_worst, high)
        last = len(scores) - bisect_left(by_best, low)
        shown.append(f"{first}" if first == last else f"{first}–{last}")
    return shown


def on_front(scores: Sequence[Score], costs: Sequence[float | None]) -> list[bool]:
    """Whether no other one is cheaper (or as cheap) and better beyond what the intervals allow.

    One without a cost or an interval is on no front. n log n.
    """
    drawn = [
        (cost, i)
        for i, cost in enumerate(costs)
        if cost is not None and scores[i].low is not None and scores[i].high is not None
    ]
    on_it = [False] * len(scores)
    best_so_far = float("-inf")
    for _, level in groupby(sorted(drawn), key=lambda pair: pair[0]):
        places = [i for _, i in level]
        ends = [_oriented(scores[i]) for i in places]
        best_so_far = max(best_so_far, *(low for low, _ in ends))
        for i, (_, high) in zip(places, ends, strict=True):
            on_it[i] = high >= best_so_far
    return on_it


def normalised(score: Score) -> Normalised | None:
    """(score - chance) / (perfect - chance); None where the chance level or perfect is unknown.

    As in the Open LLM Leaderboard: 0 is guessing, 1 is perfect, whatever the number of choices.
    Perfect is 1 for a share that should be high and 0 for one that should be low.
    """
    if score.value is None or score.chance is None or score.kind not in _BOUNDED:
        return None
    perfect = 1.0 if score.higher_is_better else 0.0
    width = perfect - score.chance
    if width == 0:
        return None
    ends = [None if v is None else (v - score.chance) / width for v in (score.low, score.high)]
    low, high = ends if score.higher_is_better else ends[::-1]
    return Normalised(value=(score.value - score.chance) / width, low=low, high=high)


def _oriented(score: Score) -> tuple[float, float]:
    """The worst and the best end of the interval, turned so that more is better."""
    low, high = score.low, score.high
    if low is None or high is None:
        raise ValueError(f"{score.task} {score.metric} has no interval")
    return (low, high) if score.higher_is_better else (-high, -low)
