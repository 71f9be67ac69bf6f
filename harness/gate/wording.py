"""Findings in words, with their numbers."""

from __future__ import annotations

import math

from steelyard.harness.records import SHARES, Score
from steelyard.harness.stats import PairedResult


def change(score: Score, result: PairedResult, margin: float) -> str:
    """``fell 12.0 points (95% interval -15.1 to -8.9), margin 2.0``; positive is better."""
    text = f"{_moved(score, result.delta)} ("
    if result.low is None or result.high is None:
        text += "no interval"
    else:
        low, high = (amount(score, end) for end in (result.low, result.high))
        text += f"95% interval {low} to {high}"
    return f"{text}), {allowance(score, margin)}"


def allowance(score: Score, margin: float) -> str:
    """The margin in the words of the metric's kind."""
    if score.kind == "ratio":
        return f"at most x{math.exp(margin):.3g}"
    return f"margin {_size(score, -margin)}"


def _moved(score: Score, delta: float) -> str:
    if score.kind == "ratio":
        return f"x{math.exp(-delta):.3g} of the baseline"
    if delta == 0:
        return "unchanged"
    size, unit = _size(score, delta), " points" if in_points(score) else ""
    if score.higher_is_better:
        return f"{'rose' if delta > 0 else 'fell'} {size}{unit}"
    return f"{size}{unit} {'better' if delta > 0 else 'worse'}"


def amount(score: Score, value: float) -> str:
    """A difference in words: points, per cent of perplexity, or the metric's own unit."""
    if score.kind == "ratio":
        return f"x{math.exp(-value):.3g}"
    if in_points(score):
        return f"{value * 100:+.1f}"
    if is_relative(score):
        return f"{-math.expm1(-value) * 100:+.1f}%"
    return f"{value:+.3g}"


def _size(score: Score, value: float) -> str:
    return amount(score, value).lstrip("+-")


def in_points(score: Score) -> bool:
    """Whether the score is a share between 0 and 1, read as points out of a hundred."""
    if score.kind == "accuracy":
        return True
    shares = score.kind in ("bounded", "calibration") and score.unit in SHARES
    return shares and (score.value is None or 0 <= score.value <= 1)


def is_relative(score: Score) -> bool:
    """Whether the delta is the logarithm of a ratio of perplexities."""
    return score.kind == "perplexity" and score.scale != "bits"


def detectable(score: Score, result: PairedResult) -> str:
    """``n=200 can tell changes of 3.1 points``: what "can't tell" means."""
    if result.mde is None:
        return f"n={result.n} tells nothing{_shortage(result)}"
    size = _size(score, -abs(result.mde))
    unit = " points" if in_points(score) else ""
    return f"n={result.n} finds a change of {size}{unit} in 80% of cases{_shortage(result)}"


def _shortage(result: PairedResult) -> str:
    if result.needed is None:
        return ""
    units = "clusters" if "cluster" in result.method else "samples"
    return f"; too few: this margin takes {result.needed} {units} even where none of them changes"
