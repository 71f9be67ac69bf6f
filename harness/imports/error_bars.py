"""An interval from what another tool says of a score's error."""

from __future__ import annotations

from typing import NamedTuple

from steelyard.harness.imports.numbers import Z95


class ErrorBar(NamedTuple):
    """A two-sided 95% interval, and where it comes from; the ends are None where there is none."""

    low: float | None
    high: float | None
    note: str | None


def error_bar(value: float, error: float, n: int, source: str, *, share: bool) -> ErrorBar:
    """Value +- 1.96 standard errors, which for a share end at 0 and 1.

    A standard error of 0 is no knowledge: lm-eval gives it where it did not resample, and for tasks
    where all of a few items went one way. Of a share of ``n`` items Wilson's interval stands in its
    place; of anything else there is none. ``source`` names the other tool's number.
    """
    if error > 0:
        low, high = value - Z95 * error, value + Z95 * error
        ends = (max(low, 0.0), min(high, 1.0)) if share else (low, high)
        return ErrorBar(*ends, f"interval from {source}")
    if share and n > 0 and 0 <= value <= 1:
        from statsmodels.stats.proportion import proportion_confint

        low, high = proportion_confint(value * n, n, method="wilson")
        return ErrorBar(low, high, f"Wilson's interval of {n} items: {source} is 0")
    return ErrorBar(None, None, f"no interval: {source} is 0")
