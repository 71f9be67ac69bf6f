"""Rows -> one score with its interval."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from steelyard.harness.errors import MetricError, StatisticsError
from steelyard.harness.plugins import Metric, Sample, is_built_in
from steelyard.harness.records import Flag, Kind, Rows, Scale, Score, flags_in
from steelyard.harness.stats import score_interval

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


#: Beside a calibration error: what its interval is worth (benchmarks/results/score_intervals.md).
CALIBRATION_NOTES = {
    "ece": "debiased; its 95% interval covers 82% to 92%: shown, never gated on",
    "aurc": "bootstrap interval: shown, never gated on",
}


#: Corpus scores with ends; of others nothing is known.
_CORPUS_RANGES = {"bleu": (0.0, 100.0), "chrf": (0.0, 100.0), "ter": (0.0, math.inf)}


def score_of(metric: Metric, rows: Rows, samples: Sequence[Sample] = ()) -> Score:
    """The score of one metric's rows, with a 95% interval over samples (or clusters).

    Where nothing is scored the value is None, and the flags say why.
    """
    scored = rows.values[rows.scored]
    clusters = [c for c, has_row in zip(rows.clusters, rows.scored, strict=True) if has_row]
    plain = Score(
        task=rows.task,
        metric=rows.metric,
        value=None,
        n=len(scored),
        unscored=len(rows.scored) - len(scored),
        kind=_kind(metric, scored),
        higher_is_better=metric.higher_is_better,
        unit=getattr(metric, "unit", None),
        scale=_scale(metric),
        method=_method(metric),
        per_token=getattr(metric, "per_token", False),
        flags=flag_counts(rows.flags),
    )
    remark: str | None = getattr(metric, "remark", None)
    if not len(scored):
        return plain.model_copy(update={"note": _joined("no sample could be scored", remark)})
    value, low, high, note = _interval(metric, plain.kind, scored, clusters)
    signature = getattr(metric, "signature", None)
    measured = {
        "value": value if value is not None and math.isfinite(value) else None,
        "low": low,
        "high": high,
        "signature": signature(samples) if callable(signature) and samples else None,
        "note": _joined(note, remark),
    }
    return plain.model_copy(update=measured)


def _joined(*notes: str | None) -> str | None:
    return "; ".join(filter(None, notes)) or None


def flag_counts(flags: Sequence[str]) -> dict[Flag, int]:
    """How often each flag stands among the samples' (an entry of ``Rows.flags`` each)."""
    counts: Counter[Flag] = Counter()
    for text in flags:
        counts.update(flags_in(text))
    return dict(sorted(counts.items()))


def _scale(metric: Metric) -> Scale | None:
    """The logarithm that differences of a perplexity are taken in; None for other kinds.

    Raises ``MetricError`` for a perplexity that does not say: nats taken for bits are off by 1.44.
    """
    if metric.kind != "perplexity":
        return None
    scale: Scale | None = getattr(metric, "scale", None)
    if scale is None:
        raise MetricError(
            f"metric '{metric.name}' of kind 'perplexity' names no scale",
            fix="add scale: ClassVar = 'nats' for a perplexity, or 'bits' for bits per unit",
        )
    return scale


def _method(metric: Metric) -> str | None:
    """Which calibration error a metric of that kind is: it says so, or is called like it."""
    return getattr(metric, "method", metric.name) if metric.kind == "calibration" else None


def _kind(metric: Metric, scored: NDArray[np.float64]) -> Kind:
    """A 0/1 metric that a task grades more finely is a bounded one."""
    if metric.kind == "accuracy" and not ((scored == 0) | (scored == 1)).all():
        return "bounded"
    return metric.kind


def _interval(
    metric: Metric, kind: Kind, scored: NDArray[np.float64], clusters: Sequence[str | None]
) -> tuple[float | None, float | None, float | None, str | None]:
    grouped = None if all(c is None for c in clusters) else _alone_where_none(clusters)
    own = float(metric.aggregate(scored))
    if math.isnan(own):
        return None, None, None, "not defined on these samples"
    # A corpus metric is resampled thousands of times: over sums where it can be, as BLEU's counts.
    at_once = getattr(metric, "aggregate_sums", metric.aggregate)
    aggregate = at_once if kind == "corpus" else None
    method = _method(metric)
    try:
        interval = score_interval(
            scored, kind=kind, aggregate=aggregate, clusters=grouped, method=method
        )
    except StatisticsError as error:
        return own, None, None, f"no interval: {error.message}"
    except (ArithmeticError, ValueError) as error:
        # An aggregate that some resample has no value for; the score itself stands.
        return own, None, None, f"no interval: {error}"
    shown = getattr(metric, "shown", float)
    if not is_built_in(metric):
        _require_kind(metric, kind, own, shown(interval.value))
    low, high = (_end(end, own, shown) for end in (interval.low, interval.high))
    if kind == "calibration":
        return interval.value, low, high, CALIBRATION_NOTES.get(method or "")
    if kind == "corpus" and metric.name in _CORPUS_RANGES:
        # An interval of sums knows of no end; where the score has one, nothing lies beyond it.
        least, most = _CORPUS_RANGES[metric.name]
        low, high = (None if end is None else min(max(end, least), most) for end in (low, high))
    return own, low, high, None


def _require_kind(metric: Metric, kind: Kind, own: float, by_kind: float) -> None:
    """A metric's interval and tests are made by its kind: they must be of the same number.

    Raises ``MetricError`` where the aggregate gives another one.
    """
    if not math.isclose(own, by_kind, rel_tol=1e-6, abs_tol=1e-9):
        raise MetricError(
            f"of these rows its aggregate makes {own:g}, and kind '{kind}' makes {by_kind:g}",
            fix="give the metric the kind whose value it is (docs/plugins.md)",
        )


def _alone_where_none(clusters: Sequence[str | None]) -> list[str]:
    return [f"\0{i}" if cluster is None else cluster for i, cluster in enumerate(clusters)]


def _end(end: float | None, value: float, shown: Callable[[float], float]) -> float | None:
    """An interval's end in the metric's unit; one off the value by rounding is the value."""
    if end is None:
        return None
    in_unit = shown(end)
    if not math.isfinite(in_unit):
        return None
    return value if math.isclose(in_unit, value, rel_tol=1e-12, abs_tol=1e-12) else in_unit
