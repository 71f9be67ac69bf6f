"""How numbers, units and verdicts are written, the same in every format."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache

from steelyard.harness.records import (
    CALIBRATION,
    DIVERGENCE,
    HALLUCINATION,
    LANGUAGE_MODELLING,
    NO_FILTER,
    QUALITY,
    RETENTION,
    SAFETY,
    SUMMARISATION,
    TRANSLATION,
    DeltaVerdict,
    RuleVerdict,
    filter_name,
    metric_name,
)
from steelyard.reports.document import Change, Number, Sense

DELTA_WORDS: dict[DeltaVerdict, tuple[str, Sense]] = {
    "better": ("better", "good"),
    "worse": ("worse", "bad"),
    "not_worse": ("not worse", "neutral"),
    "inconclusive": ("can't tell", "unknown"),
    "identical": ("identical", "neutral"),
}
#: A delta without a verdict: what may not be compared has no difference.
NOT_COMPARABLE: tuple[str, Sense] = ("not comparable", "unknown")
RULE_WORDS: dict[RuleVerdict, tuple[str, Sense]] = {
    "pass": ("pass", "good"),
    "fail": ("fail", "bad"),
    "inconclusive": ("can't tell", "unknown"),
    "not_comparable": ("not comparable", "unknown"),
}
#: A sign for each sense, so that no meaning hangs on colour.
SIGNS: dict[Sense, str] = {"good": "▲", "bad": "▼", "neutral": "=", "unknown": "?"}
NONE = "–"

_FAMILIES = {
    QUALITY: "Quality",
    RETENTION: "Retention",
    HALLUCINATION: "Hallucination",
    SUMMARISATION: "Summarisation",
    TRANSLATION: "Translation",
    LANGUAGE_MODELLING: "Language modelling",
    **dict.fromkeys(DIVERGENCE, "Divergence from the parent"),
    CALIBRATION: "Calibration",
    SAFETY: "Safety",
}
_PREFIXES = ((1.0, "k"), (1e-3, ""), (1e-6, "m"), (1e-9, "µ"))


def family_title(family: str) -> str:
    """The heading of a family of metrics."""
    return _FAMILIES.get(family, family.replace("_", " ").capitalize())


def task_title(task: str) -> str:
    """The task's name without the microworld's prefix, which is on every one of them."""
    return task.removeprefix("microworld_").replace("_", " ")


def metric_title(metric: str) -> str:
    """The metric's name with spaces, lm-eval's filter in brackets where it says something."""
    filtered = filter_name(metric)
    behind = f" ({filtered})" if filtered not in (None, NO_FILTER) else ""
    return metric_name(metric).replace("_", " ") + behind


def base_title(base: str) -> str:
    """The base as the experiment names it; of a folder or a file its name, not where it lies."""
    is_path = base.startswith(("/", "./", "../", "~")) or "\\" in base
    return re.split(r"[/\\]", base.rstrip("/\\"))[-1] if is_path else base


def plain(value: float | None, *, signed: bool = False, beside: Sequence[float | None] = ()) -> str:
    """A number with about four figures that say something; a dash where there is none.

    The largest of the number and those ``beside`` it (its interval) sets the decimals, so that
    they line up; from .002 down two significant figures are kept, so that an int8's divergence of
    1.2e-6 is not rounded away.
    """
    if value is None or math.isnan(value):
        return NONE
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    scale = size = abs(value)
    for other in beside:
        if other is not None and scale < abs(other) < math.inf:
            scale = abs(other)
    if size == 0:
        text = "0"
    elif scale < 5e-4:
        text = f"{size:.1e}".replace("e-0", "e-")
    else:
        text = _never_an_end(size, f"{size:,.{_decimals(scale)}f}", signed)
    if value < 0 and text.strip("0.,"):
        return f"−{text}"
    return f"+{text}" if signed and value > 0 else text


def _never_an_end(size: float, text: str, signed: bool) -> str:
    """``text``, with more decimals where rounding alone makes a perfect score or a zero of it.

    1,999 right answers of 2,000 are not all, and one is not none. A difference that rounds to zero
    says what it should, and a number that is off by a processor's rounding is the end itself.
    """
    wrongly_one = text == "1.000" and abs(size - 1.0) > 1e-9
    wrongly_none = not text.strip("0.") and size > 1e-9 and not signed
    if not (wrongly_one or wrongly_none):
        return text
    # Two figures of the distance: 1 - 0.9999 is 9.999999999998899e-05 to a processor.
    distance = float(f"{abs(size - 1.0) if wrongly_one else size:.1e}")
    return f"{size:.{-math.floor(math.log10(distance))}f}"


def _decimals(scale: float) -> int:
    """How many decimals say something of a number of this size."""
    if 0.02 <= scale < 10.0:
        return 3
    steps = ((0.002, 5), (0.02, 4), (100.0, 2), (1000.0, 1))
    return next((places for limit, places in steps if scale < limit), 0)


def energy(kwh: float | None) -> str:
    """Kilowatt-hours written as kWh, Wh, mWh or µWh, whichever reads well."""
    if kwh is None:
        return NONE
    if kwh == 0:
        return "0 Wh"
    kwh = float(f"{kwh:.3g}")  # 999.7 mWh is 1 Wh, not 1e+03 mWh
    for size, prefix in _PREFIXES:
        if abs(kwh) >= size:
            return f"{kwh / size:.3g} {prefix}Wh"
    return f"{kwh / 1e-9:.3g} µWh"


def bytes_(count: float | None) -> str:
    """Bytes in decimal units (1 MB = 10^6 bytes)."""
    if count is None:
        return NONE
    count = float(f"{count:.3g}")
    for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if abs(count) >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f} B"


def seconds(value: float | None) -> str:
    """Seconds as seconds, minutes or hours."""
    if value is None:
        return NONE
    if value < 120:
        return f"{value:.3g} s"
    return f"{value / 60:.3g} min" if value < 7200 else f"{value / 3600:.3g} h"


def amount(
    value: float | None,
    unit: str | None,
    *,
    signed: bool = False,
    beside: Sequence[float | None] = (),
) -> str:
    """A value in its unit, as every format shows it."""
    if value is None:
        return NONE
    match unit:
        case "kWh":
            return energy(value)
        case "bytes":
            return bytes_(value)
        case "seconds":
            return seconds(value)
        case "g":
            return f"{value:.3g} g"
        case "count" | "points":
            return f"{value:,.0f}"
        case "ratio":
            return f"{value:.3g}×"
    return plain(value, signed=signed, beside=beside)


def shown(number: Number) -> str:
    """The value of a number in its unit; a dash where there is none."""
    return _written(number.value, number.low, number.high, number.unit, number.signed)[0]


def interval(number: Number) -> str:
    """``[low, high]``, or nothing where there is no interval."""
    return _written(number.value, number.low, number.high, number.unit, number.signed)[1]


@lru_cache(maxsize=300_000)  # a leaderboard shows a score on three pages, raw and normalised
def _written(
    value: float | None, low: float | None, high: float | None, unit: str | None, signed: bool
) -> tuple[str, str]:
    """A value and its interval as they are shown."""
    text = amount(value, unit, signed=signed, beside=(low, high))
    if low is None or high is None:
        return text, ""
    beside = (value, low, high)
    ends = [amount(end, unit, signed=signed, beside=beside) for end in (low, high)]
    return text, f"[{ends[0]}, {ends[1]}]"


def normalised(number: Number) -> str:
    """The score from chance (0) to perfect (1); a dash where an end is unknown."""
    score = number.normalised
    return NONE if score is None else _written(score.value, score.low, score.high, None, False)[0]


def normalised_interval(number: Number) -> str:
    """``[low, high]`` on the same scale, or nothing where there is no interval."""
    score = number.normalised
    return "" if score is None else _written(score.value, score.low, score.high, None, False)[1]


def _difference(change: Change, value: float) -> str:
    """A difference; the logarithm of a ratio is shown as per cent."""
    if change.unit == "log ratio":
        return f"{plain(-math.expm1(-value) * 100, signed=True)}%"
    return plain(value, signed=True, beside=(change.delta, change.low, change.high))


def change_value(change: Change) -> str:
    """``+0.120``, or ``+2.5%`` where the difference is one of ratios."""
    return NONE if change.delta is None else _difference(change, change.delta)


def change_interval(change: Change) -> str:
    """``[+0.050, +0.190]``, or nothing where there is no interval."""
    if change.low is None or change.high is None:
        return ""
    return f"[{_difference(change, change.low)}, {_difference(change, change.high)}]"


def change_words(change: Change) -> str:
    """``▲ better +0.12 [+0.05, +0.19]``: sign, word, number and interval together."""
    parts = [SIGNS[change.sense], change.word]
    if change.delta is not None:
        parts += [change_value(change), change_interval(change)]
    return " ".join(part for part in parts if part)


def change_short(change: Change) -> str:
    """``▲ +0.12 better``: sign, number and word."""
    value = "" if change.delta is None else f"{change_value(change)} "
    return f"{SIGNS[change.sense]} {value}{change.word}"


def moment(stamp: str) -> str:
    """``2026-11-21 10:00 UTC`` of an ISO 8601 time; what is none stays as it is.

    A time that names no zone is written without one.
    """
    try:
        when = datetime.fromisoformat(stamp)
    except ValueError:
        return stamp
    if when.tzinfo is None:
        return f"{when:%Y-%m-%d %H:%M}"
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def listed(names: list[str], limit: int = 6) -> str:
    """``a, b and c``; the number of further ones where there are more than ``limit``."""
    if not names:
        return "none"
    if len(names) > limit:
        return f"{', '.join(names[:limit])} and {len(names) - limit} more"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
